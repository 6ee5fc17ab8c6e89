/* A host that stops a patch inside one of its stubs and prints what the unwinder finds there.

   patch PATH          load PATH; answers with the address at which it lies
   stop ADDRESS        put a breakpoint there, call patch_main(), and print the frames that a signal's handler sees
   quit                end */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unwind.h>

static uint32_t *stop, saved;
static char frames[4096];

static void put(uint32_t word) {
  void *page = (void *)((uintptr_t)stop & ~(uintptr_t)0xfff);
  mprotect(page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC);
  *stop = word;
  __builtin___clear_cache((char *)stop, (char *)(stop + 1));
}

static _Unwind_Reason_Code frame(struct _Unwind_Context *context, void *unused) {
  Dl_info info;
  uintptr_t pc = _Unwind_GetIP(context);
  (void)unused;
  if (dladdr((void *)pc, &info)) {
    const char *name = strrchr(info.dli_fname, '/') ? strrchr(info.dli_fname, '/') + 1 : info.dli_fname;
    sprintf(frames + strlen(frames), " %s+%lx", name, (unsigned long)(pc - (uintptr_t)info.dli_fbase));
  }
  return _URC_NO_REASON;
}

static void stopped(int signal) {
  (void)signal;
  put(saved);
  _Unwind_Backtrace(frame, NULL);
}

__attribute__((noinline)) int host_work(int x) { return x * 2; }

int main(void) {
  char line[4096];
  int (*patch_main)(int) = NULL;
  setvbuf(stdout, NULL, _IOLBF, 0);
  signal(SIGTRAP, stopped);
  printf("anchor %p\n", (void *)&main);
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = 0;
    if (!strncmp(line, "patch ", 6)) {
      void *patch = dlopen(line + 6, RTLD_NOW | RTLD_LOCAL);
      Dl_info info;
      patch_main = patch ? (int (*)(int))dlsym(patch, "patch_main") : NULL;
      if (patch_main && dladdr((void *)patch_main, &info))
        printf("%p\n", info.dli_fbase);
      else
        printf("%s\n", dlerror());
    } else if (!strncmp(line, "stop ", 5)) {
      stop = (uint32_t *)strtoul(line + 5, NULL, 16);
      saved = *stop;
      frames[0] = 0;
      put(0xd4200000); /* brk #0 */
      int result = patch_main(21);
      printf("%d%s\n", result, frames);
    } else if (!strcmp(line, "quit")) {
      puts("bye");
      return 0;
    }
  }
  return 1;
}
