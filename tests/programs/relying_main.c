/* The program of relying.c, and a runtime that overwrites where old functions begin. With DRIVEN, a file in quotes, that has
   the program's functions and run().

   run             what all its functions say now
   load PATH       load a patch; the address at which its anchor lies
   lead OLD NEW    overwrite what is at OLD with a jump to NEW, runtime addresses
   back OLD        put back what was there before
   quit            end */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct shop { long sold; double rate; int kind; };
struct shop shop = {1, 2.5, 3};
long ticks, reported;

#define SEEN __attribute__((noinline, noclone, used))
SEEN long finish(struct shop *of) { return of->sold + of->kind; }
SEEN long pair(long first, long second) { return first * 1000 + second; }
SEEN long three(void) { return 3; }
SEEN long some(void) { return 41; }
SEEN double weigh(double what) { return what * 2; }
SEEN void report(const char *form, ...) {
  char text[99];
  va_list given;
  va_start(given, form);
  vsnprintf(text, sizeof text, form, given);
  va_end(given);
  for (char *at = text; *at; at++) reported = reported * 31 + *at;
}

SEEN void destroy_registers(void) {
  asm volatile("mov x0, -1\n mov x1, -2\n mov x2, -3\n mov x3, -4\n mov x4, -5\n mov x5, -6\n mov x6, -7\n mov x7, -8\n"
               "mov x8, -9\n mov x9, -10\n mov x10, -11\n mov x11, -12\n mov x12, -13\n mov x13, -14\n mov x14, -15\n"
               "mov x15, -16\n movi v0.16b, 1\n movi v1.16b, 2\n movi v2.16b, 3\n movi v3.16b, 4\n movi v4.16b, 5\n"
               "movi v5.16b, 6\n movi v6.16b, 7\n movi v7.16b, 8\n movi v16.16b, 9\n movi v17.16b, 10\n" ::: "x0", "x1",
               "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "v0", "v1",
               "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17", "memory");
}

#ifdef DRIVEN
#include DRIVEN
#else
long kept_for_itself(long, long), forwarded(struct shop *), returned(long), through_another(long), argument(long, long),
    nothing_kept(void), by_table(long, long), loop(long), recursive(long);
double floating(double, long), beside_a_structure(double, long);
void variadic(int), nothing_after(struct shop *), jumped_to(struct shop *);

static void run(void) {
  shop = (struct shop){1, 2.5, 3};
  ticks = 4, reported = 0;
  alarm(3); /* a loop that lost its count */
  printf("%ld %ld ", kept_for_itself(5, 6), forwarded(&shop));
  printf("%ld %ld %.3f ", returned(11), through_another(12), floating(1.25, 13));
  printf("%ld %ld ", argument(14, 15), nothing_kept());
  printf("%.3f ", beside_a_structure(2.25, 1234));
  variadic(16), nothing_after(&shop), jumped_to(&shop);
  for (long k = 0; k < 8; k++) printf("%ld ", by_table(17, k));
  printf("%ld %ld %ld %ld %d %ld\n", loop(9), recursive(5), reported, shop.sold, shop.kind, ticks);
}
#endif

static void overwrite(unsigned long at, const unsigned code[4]) {
  mprotect((void *)(at & -4096ul), 2 * 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
  memcpy((void *)at, code, 16);
  __builtin___clear_cache((char *)at, (char *)at + 16);
}

static struct { unsigned long at; unsigned code[4]; } before[999];
static int led;

static int place(unsigned long old) {
  for (int i = 0; i < led; i++) if (before[i].at == old) return i;
  memcpy(before[led].code, (void *)old, 16);
  before[led].at = old;
  return led++;
}

static void lead(unsigned long old, unsigned long new) {
  unsigned code[4] = {0x58000050, 0xd61f0200}; /* ldr x16, [pc, 8]; br x16 */
  memcpy(code + 2, &new, sizeof new);
  place(old);
  overwrite(old, code);
}

int main(void) {
  char line[4096], *rest;
  setvbuf(stdout, 0, _IOLBF, 0);
  printf("anchor %p\n", (void *)main);
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = 0;
    if (!strcmp(line, "run")) run();
    else if (!strncmp(line, "load ", 5)) {
      void *patch = dlopen(line + 5, RTLD_NOW | RTLD_LOCAL);
      printf("%p\n", patch ? dlsym(patch, "main") : 0);
    } else if (!strncmp(line, "lead ", 5)) {
      unsigned long old = strtoul(line + 5, &rest, 16);
      lead(old, strtoul(rest, 0, 16));
      puts("led");
    } else if (!strncmp(line, "back ", 5)) {
      unsigned long old = strtoul(line + 5, 0, 16);
      overwrite(old, before[place(old)].code);
      puts("back");
    } else if (!strcmp(line, "quit")) { puts("bye"); return 0; }
  }
  return 0;
}
