#include <stdio.h>
int host_add(int, int);
double host_scale(double, float);
int host_sum(int, ...);
struct wide { long v[6]; };
struct wide host_wide(long);
int host_static(int);

const char *patch_main(void) {
  static char text[256];
  struct wide w = host_wide(100);
  snprintf(text, sizeof text, "add %d scale %.2f sum %d wide %ld static %d", host_add(40, 2), host_scale(2.5, 4.0f),
           host_sum(5, 1, 2, 3, 4, 5), w.v[5], host_static(6));
  return text;
}
