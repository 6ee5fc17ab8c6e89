/* The runtime of the adversary's programs: redirects by a table, and asks every function that it is told to.

   run N        call each entry with N, by the table; the answers in hexadecimal
   apply F L    load library L and lead callers by the table F: the anchors' static addresses, then pairs of them
   quit         end */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long function(unsigned long);
extern function *const entries[];
unsigned long guarded(function *called, unsigned long argument);
#ifndef ANCHOR
#define ANCHOR main
#endif
#define TEXT(name) #name
#define NAME(macro) TEXT(macro)
int ANCHOR(void);

static struct { unsigned long old, new; } table[4096];
static int count;

void *hot(void *called) {
  for (int i = 0; i < count; i++)
    if (table[i].old == (unsigned long)called) return (void *)table[i].new;
  return called;
}

unsigned long length(const char *text) { return strlen(text); }

static const char *apply(const char *path, const char *library) {
  static char answer[64];
  unsigned long host, patch, old, new;
  FILE *file = fopen(path, "r");
  if (!file || fscanf(file, "%lx %lx", &host, &patch) != 2) return "no table";
  void *handle = dlopen(library, RTLD_NOW);
  if (!handle) return dlerror();
  void *there = dlsym(handle, NAME(ANCHOR));
  if (!there) return "no anchor";
  unsigned long slide = (unsigned long)&ANCHOR - host, base = (unsigned long)there - patch;
  for (count = 0; fscanf(file, "%lx %lx", &old, &new) == 2; count++) table[count].old = old + slide, table[count].new = new + base;
  fclose(file);
  snprintf(answer, sizeof answer, "loaded %p", there);
  return answer;
}

int main(void) {
  static char line[4096], path[4096], library[4096];
  setvbuf(stdout, 0, _IOLBF, 1 << 16);
  printf("anchor %p\n", (void *)&ANCHOR);
  while (fgets(line, sizeof line, stdin)) {
    if (!strncmp(line, "run ", 4)) {
      for (int i = 0; entries[i]; i++) printf("%lx ", guarded((function *)hot((void *)entries[i]), strtoul(line + 4, 0, 10)));
      puts("");
    } else if (sscanf(line, "apply %4095s %4095s", path, library) == 2) puts(apply(path, library));
    else if (!strncmp(line, "quit", 4)) break;
    else puts("?");
  }
  puts("bye");
  return 0;
}
