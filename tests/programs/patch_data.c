/* A patch for host.c that reads and writes a variable of the host. */
#include <stdio.h>

extern int host_counter;
int host_add(int, int);

const char *patch_main(void) {
  static char text[64];
  host_counter = host_add(host_counter, 1);
  snprintf(text, sizeof text, "counter %d", host_counter);
  return text;
}
