/* A host that takes orders, one a line: `patch PATH` prints what its patch_main() answers, `base PATH` where that lies,
   `host` what host_answer() says, `quit` ends it. */
#define _GNU_SOURCE /* dladdr */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

__attribute__((weak)) const char *host_answer(void) { return "nothing"; }

#ifdef ANCHOR /* the host is a library of this program */
void *ANCHOR(void);
#else
#define ANCHOR() ((void *)&main)
#endif

int main(void) {
  char line[4096];
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("anchor %p\n", ANCHOR());
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = 0;
    if (!strncmp(line, "patch ", 6)) {
      void *patch = dlopen(line + 6, RTLD_NOW | RTLD_LOCAL);
      const char *(*answer)(void) = patch ? (const char *(*)(void))dlsym(patch, "patch_main") : NULL;
      printf("%s\n", answer ? answer() : dlerror());
    } else if (!strncmp(line, "base ", 5)) {
      Dl_info info = {0};
      void *patch = dlopen(line + 5, RTLD_NOW | RTLD_NOLOAD);
      dladdr(dlsym(patch, "patch_main"), &info);
      printf("%p\n", info.dli_fbase);
    } else if (!strcmp(line, "host")) {
      printf("%s\n", host_answer());
    } else {
      puts("bye");
      return 0;
    }
  }
  return 1;
}
