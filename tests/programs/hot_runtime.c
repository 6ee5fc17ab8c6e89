/* A program whose functions patches replace, by the runtime of the examples.

   call N    call step(N) as it is now
   spin      call price() from four threads, until the end, as fast as they can
   spun      how many of these calls gave neither the old price nor the new one
   quit      end */
#include "hot.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

long step(long n);
int price(int n);

static atomic_long wrong;

static void *spin(void *unused) {
  for (;;) {
    int now = HOT(price)(1);
    if (now != 102 && now != 302) wrong++;
  }
  return unused;
}

int main(void) {
  char line[4096];
  pthread_t thread;
  if (hot_start(getenv("HOT_SOCKET"))) return 2;
  setvbuf(stdout, 0, _IOLBF, 0);
  printf("anchor %p\n", (void *)main);
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = 0;
    if (!strncmp(line, "call ", 5)) printf("%ld\n", HOT(step)(atol(line + 5)));
    else if (!strcmp(line, "spin")) {
      for (int i = 0; i < 4; i++) pthread_create(&thread, NULL, spin, NULL);
      puts("spinning");
    } else if (!strcmp(line, "spun")) printf("%ld wrong\n", (long)wrong);
    else if (!strcmp(line, "quit")) { puts("bye"); return 0; }
    else puts("?");
  }
  return 0;
}
