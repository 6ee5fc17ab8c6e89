/* A patch for host.c that calls a function which no other file of the host can call. */
#include <stdio.h>

int host_static(int);

const char *patch_main(void) {
  static char text[64];
  snprintf(text, sizeof text, "static %d", host_static(6));
  return text;
}
