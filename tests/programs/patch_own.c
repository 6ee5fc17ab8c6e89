/* A patch that changes a function which host.c exports, and calls it itself. */
#include <stdio.h>

double host_scale(double x, float y) { return x * y * 100; }

int own_counter = 1; /* an executable's code reaches such a variable directly */

const char *patch_main(void) {
  static char text[64];
  snprintf(text, sizeof text, "scale %.1f counter %d", host_scale(2.0, 3.0f), ++own_counter);
  return text;
}
