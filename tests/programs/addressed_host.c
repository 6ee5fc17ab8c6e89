/* A host that calls what it is told: "patch FILE" loads a patch and tells its load base, "call ADDRESS N" calls a
   function that takes and returns a long. */
#define _GNU_SOURCE /* dlinfo */
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

int main(void) {
  char line[4096];
  printf("anchor %p\n", (void *)&main);
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    unsigned long address;
    long argument;
    line[strcspn(line, "\n")] = 0;
    if (!strncmp(line, "patch ", 6)) {
      struct link_map *map;
      void *patch = dlopen(line + 6, RTLD_NOW | RTLD_LOCAL);
      if (patch && !dlinfo(patch, RTLD_DI_LINKMAP, &map)) printf("%#lx\n", (unsigned long)map->l_addr);
      else printf("%s\n", dlerror());
    } else if (sscanf(line, "call %lx %ld", &address, &argument) == 2) {
      printf("%ld\n", ((long (*)(long))address)(argument));
    } else {
      printf("bye\n");
      fflush(stdout);
      return 0;
    }
    fflush(stdout);
  }
  return 1;
}
