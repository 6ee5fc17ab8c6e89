/* A host with state: "patch FILE" loads a patch and calls its bump(); "call NAME" and "state" tell what the host sees. */
#define _GNU_SOURCE /* dladdr */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include "state.h"

int visible_count = 5;
static volatile int hidden_count = 7;
static volatile long table[4] = {1, 2, 3, 4};
volatile int resized[2];

__attribute__((noinline)) int bump(void) { resized[0]++; return ++hidden_count + ++visible_count; }
__attribute__((noinline)) int twice(void) { return bump() + bump(); }
__attribute__((noinline)) int version(void) { return 1; }
__attribute__((noinline)) int calls(void) {
  static volatile int count = 40;
  return ++count;
}
void *base_of(void *address) {
  Dl_info info;
  return dladdr(address, &info) ? info.dli_fbase : 0;
}

int main(void) {
  char line[4096];
  calls();
  printf("anchor %p\n", (void *)&main);
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = 0;
    if (!strncmp(line, "patch ", 6)) {
      void *patch = dlopen(line + 6, RTLD_NOW | RTLD_LOCAL);
      int (*entry)(void) = patch ? (int (*)(void))dlsym(patch, "patch_main") : 0;
      if (entry) printf("%d %p\n", entry(), base_of((void *)entry));
      else printf("%s\n", dlerror());
    } else if (!strcmp(line, "state")) {
      printf("visible %d hidden %d table %ld\n", visible_count, hidden_count, table[2]);
    } else {
      printf("bye\n");
      fflush(stdout);
      return 0;
    }
    fflush(stdout);
  }
  return 1;
}
