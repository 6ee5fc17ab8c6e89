/* A host whose data, thread-locals and function addresses patches use. It takes orders, one a line, and answers
   each with one line.

   patch PATH   load PATH and call its patch_main()
   again        call the last patch_main() once more
   thread       call it on a new thread
   state        print every variable as the host sees it, and set them back
   quit         end */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "bound.h"

#ifndef ALIGNMENT
#define ALIGNMENT 64
#endif

int counter = 41;
int zeroed;
const int limit = 7;
int array[8] = {0, 10, 20, 30, 40, 50, 60, 70};
__attribute__((used)) static volatile int unit_count = 5; /* a symbol that no other file sees */

__attribute__((noinline)) int host_area(int side) { return side * side + counter; }
__attribute__((noinline)) int host_twice(int x) { return 2 * x; }

struct shape square = {host_area, "square"};
int (*registered)(int) = host_area;

__thread char pad = 1;
__thread int tls_value = 100;
__attribute__((used)) static __thread int tls_unit = 9;
__thread _Alignas(ALIGNMENT) long tls_aligned[3] = {7, 8, 9};
__thread int tls_zeroed;

static answer *patch_main;

static void *on_thread(void *unused) {
  printf("%s host %d %d %ld %d\n", patch_main(), tls_value, tls_unit, tls_aligned[2], tls_zeroed);
  return unused;
}

#ifndef MAIN
#define MAIN main
#endif

int MAIN(void) {
  char line[4096];
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("anchor %p\n", (void *)&MAIN);
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = 0;
    if (!strncmp(line, "patch ", 6)) {
      void *patch = dlopen(line + 6, RTLD_NOW | RTLD_LOCAL);
      patch_main = patch ? (answer *)dlsym(patch, "patch_main") : NULL;
      printf("%s\n", patch_main ? patch_main() : dlerror());
    } else if (!strcmp(line, "again")) {
      printf("%s\n", patch_main());
    } else if (!strcmp(line, "thread")) {
      pthread_t thread;
      pthread_create(&thread, NULL, on_thread, NULL);
      pthread_join(thread, NULL);
    } else if (!strcmp(line, "state")) {
      printf("counter %d zeroed %d unit %d array %d %d tls %d %d %ld %d registered %d\n", counter, zeroed, unit_count,
             array[3], array[5], tls_value, tls_unit, tls_aligned[2], tls_zeroed, registered(3));
      counter = 41, zeroed = 0, unit_count = 5, array[3] = 30, array[5] = 50, registered = host_area;
      tls_value = 100, tls_unit = 9, tls_aligned[2] = 9, tls_zeroed = 0;
    } else if (!strcmp(line, "quit")) {
      puts("bye");
      return 0;
    } else {
      printf("unknown order: %s\n", line);
    }
  }
  return 1;
}
