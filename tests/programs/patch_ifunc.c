/* A patch for host.c that calls an ifunc. */
#include <stdio.h>

int host_chosen(int);

const char *patch_main(void) {
  static char text[64];
  snprintf(text, sizeof text, "chosen %d", host_chosen(6));
  return text;
}
