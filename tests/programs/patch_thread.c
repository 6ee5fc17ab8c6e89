/* A patch for host.c that works with thread-locals of the host, and with one of its own. */
#include <stdio.h>

extern __thread int host_thread, host_private_thread;
static __thread int own = 1000;

const char *patch_main(void) {
  static char text[64];
  host_thread += 1;
  host_private_thread += 10;
  own += 1000;
  snprintf(text, sizeof text, "thread %d %d own %d", host_thread, host_private_thread, own);
  return text;
}
