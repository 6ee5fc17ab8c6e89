/* A patch for host.c that reads, writes and points to variables of the host, and compares its functions. */
#include <stdio.h>

extern int host_counter, host_zeros[4], host_private;
extern const char host_motto[];
int host_add(int, int);
int host_is_add(int (*)(int, int));

/* Addresses in initialised data, one with an offset. */
static int *const variables[] = {&host_counter, &host_zeros[2], &host_private};
static int (*const functions[])(int, int) = {host_add};

const char *patch_main(void) {
  static char text[128];
  host_counter = host_add(host_counter, 1);
  *variables[1] += 10;
  *variables[2] += 100;
  snprintf(text, sizeof text, "counter %d %d zeros %d private %d %s same function %d %d", host_counter, *variables[0],
           host_zeros[2], host_private, host_motto, host_is_add(host_add), host_is_add(functions[0]));
  return text;
}
