// Reads and writes what near_host.c defines, in every size, in code that rarely runs, and by address.
#include "near.h"
#include <stdio.h>

__attribute__((noinline)) static int rarely(int why) {
  if (__builtin_expect(why != 0, 0)) {
    near_int = near_int + why;
    near_function(why);
    return near_int;
  }
  return near_int;
}

const char *patch_main(void) {
  static char text[512];
  int *volatile where = (int *)&near_int;
  int (*volatile function)(int) = near_function;
  near_byte -= 1, near_short += 1, near_long += 1, near_row[2] += 40, near_wide += (__int128)1 << 64, near_real *= 3;
  near_four += (four){10, 20, 30, 40};
  near_record.tail += 1, near_record.last += 2, near_record.head[0] = 'H';
  near_text[0] = 'T';
  near_packed.first += 1, near_packed.second += 1;
  *where += 1;
  for (int i = 0; i < 3; i++)
    near_int += i;
  snprintf(text, sizeof text, "%d %d %s", rarely(5), function(21), near_look());
  return text;
}
