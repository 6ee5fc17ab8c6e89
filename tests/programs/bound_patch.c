/* A patch that reaches bound_host.c in every way but a plain call, and is asked for it twice. */
#include <stdio.h>

#include "bound.h"

extern volatile int unit_count; /* static in the host */
extern __thread int tls_unit;   /* likewise */

/* Addresses in the patch's own data: of data, of the middle of an array, of functions. Volatile, so that they are
   read when the patch runs. */
static int *volatile const third = &array[3];
static int *volatile past = array + 8;
static struct shape *volatile const shapes[] = {&square};
static int (*volatile const functions[])(int) = {host_area, host_twice};
struct shape own = {host_twice, "own"};

static int new_area(int side) { return host_area(side) + 1000; } /* called here, and its address is in data */

const char *patch_main(void) {
  static char text[256];
  int same = (registered == host_area) + 10 * (functions[0] == square.area) + 100 * (shapes[0]->area == host_area);
  snprintf(text, sizeof text, "counter %d zeroed %d limit %d unit %d array %d %d same %d calls %d %d %s tls %d %d %ld %d",
           counter, zeroed, limit, unit_count, *third, past[-3], same, host_area(1), functions[1](own.area(3)),
           shapes[0]->name, tls_value, tls_unit, tls_aligned[2], tls_zeroed);
  counter += 1, zeroed = 3, unit_count += 2, *third = 33, past[-3] = 55, registered = new_area;
  tls_value += 1, tls_unit += 1, tls_aligned[2] += 1, tls_zeroed = 4;
  return text;
}
