/* A host that takes patches over its standard input: "patch PATH" loads PATH and calls its patch_main(),
   "call" calls the host's own function, anything else ends it. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdarg.h>
#include <string.h>

int counter = 41;
static int calls;

__attribute__((noinline)) int host_add(int a, int b) { calls++; return a + b; }
__attribute__((noinline)) double host_scale(double x, float y) { return x * y; }
__attribute__((noinline)) int host_sum(int count, ...) {
  va_list list; int sum = 0;
  va_start(list, count);
  while (count-- > 0) sum += va_arg(list, int);
  va_end(list);
  return sum;
}
struct wide { long v[6]; };
__attribute__((noinline)) struct wide host_wide(long seed) {
  struct wide w;
  for (int i = 0; i < 6; i++) w.v[i] = seed + i;
  return w;
}
__attribute__((noinline)) static int host_static(int x) { return x * 7; }
int use_static(int x) { return host_static(x); }

int main(void) {
  char line[4096];
  printf("anchor %p\n", (void *)&main);
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = 0;
    if (!strncmp(line, "patch ", 6)) {
      void *patch = dlopen(line + 6, RTLD_NOW | RTLD_LOCAL);
      if (!patch) { printf("dlopen: %s\n", dlerror()); fflush(stdout); continue; }
      const char *(*patch_main)(void) = (const char *(*)(void))dlsym(patch, "patch_main");
      printf("%s\n", patch_main ? patch_main() : dlerror());
    } else if (!strcmp(line, "call")) {
      printf("host_add %d, calls %d\n", host_add(1, 1), calls);
    } else break;
    fflush(stdout);
  }
  printf("bye\n");
  return 0;
}
