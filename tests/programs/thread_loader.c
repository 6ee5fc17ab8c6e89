/* A program with thread-locals of its own, which loads a library beside it and runs its library_main(). */
#include <dlfcn.h>
#include <stdio.h>

#ifdef PREEMPTING
__thread long shown = 900; /* and the library's own is nobody's */
#endif
__thread long mine[8] = {1, 2, 3, 4, 5, 6, 7, 8};

int main(int count, char **words) {
  void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
  int (*run)(void) = library ? (int (*)(void))dlsym(library, "library_main") : NULL;
  if (!run) return puts(dlerror()), 1;
  int status = run();
  for (int i = 0; i < 8; i++)
    if (mine[i] != i + 1) return puts("the program's thread-locals were overwritten"), 2;
  return status;
}
