/* A host that takes orders on its standard input, one a line, and answers each with one line.

   patch PATH   load PATH and call its patch_main()
   thread       call the patch's patch_main() on a new thread
   data         show the host's variables
   call         call the host's own functions, to show that it goes on
   quit         end

   Every kind of call that a trampoline must not disturb has a function here. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct wide {
  long v[6]; /* too large for registers: the caller passes the result's address in x8 */
};
struct quad {
  double v[4]; /* four doubles come back in d0 to d3 */
};

int host_counter = 41;
int host_zeros[4];
const char host_motto[] = "goes on";
static volatile int host_private = 5; /* volatile: the host itself never writes it */
__thread int host_thread = 7;
static volatile __thread int host_private_thread = 70;
static int calls;

__attribute__((noinline)) int host_add(int a, int b) {
  calls++;
  return a + b;
}

__attribute__((noinline)) double host_scale(double x, float y) { return x * y; }

__attribute__((noinline)) long host_ten(long a, long b, long c, long d, long e, long f, long g, long h, long i,
                                        long j) { /* the last two are on the stack */
  return a + 10 * b + 100 * c + 1000 * d + 10000 * e + 100000 * f + 1000000 * g + 10000000 * h + 100000000 * i +
         1000000000 * j;
}

__attribute__((noinline)) double host_sum(int count, ...) {
  va_list list;
  double sum = 0;
  va_start(list, count);
  while (count-- > 0) {
    sum += va_arg(list, int);
    sum += va_arg(list, double);
  }
  va_end(list);
  return sum;
}

__attribute__((noinline)) struct wide host_wide(long seed) {
  struct wide w;
  for (int i = 0; i < 6; i++)
    w.v[i] = seed + i;
  return w;
}

__attribute__((noinline)) struct quad host_quad(double seed) {
  struct quad q;
  for (int i = 0; i < 4; i++)
    q.v[i] = seed * (i + 1);
  return q;
}

__attribute__((noinline)) int host_each(const int *values, int count, int (*callback)(int, void *), void *context) {
  int sum = 0;
  for (int i = 0; i < count; i++)
    sum += callback(values[i], context);
  return sum;
}

/* A symbol that no other file sees: volatile keeps the compiler from specialising it for its one caller. */
static volatile int factor = 7;
__attribute__((noinline)) static int host_static(int x) { return x * factor; }

__attribute__((visibility("hidden"), noinline)) int host_hidden(int x) { return host_static(x) + 1; }

__attribute__((noinline)) int host_is_add(int (*function)(int, int)) { return function == host_add; }

/* An ifunc: its symbol is the resolver's, and only the loader may call that. */
static int chosen(int x) { return x * 1000; }
static void *choose(void) { return (void *)chosen; }
int host_chosen(int) __attribute__((ifunc("choose")));

static void *answer(void *patch_main) {
  printf("%s\n", ((const char *(*)(void))patch_main)());
  return NULL;
}

int main(void) {
  const char *(*patch_main)(void) = NULL;
  char line[4096];
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("anchor %p\n", (void *)&main);
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = 0;
    if (!strncmp(line, "patch ", 6)) {
      void *patch = dlopen(line + 6, RTLD_NOW | RTLD_LOCAL);
      patch_main = patch ? (const char *(*)(void))dlsym(patch, "patch_main") : NULL;
      printf("%s\n", patch_main ? patch_main() : dlerror());
    } else if (!strcmp(line, "thread") && patch_main) {
      pthread_t thread;
      pthread_create(&thread, NULL, answer, (void *)patch_main);
      pthread_join(thread, NULL);
    } else if (!strcmp(line, "call")) {
      printf("add %d hidden %d calls %d counter %d\n", host_add(1, 1), host_hidden(6), calls, host_counter);
    } else if (!strcmp(line, "data")) {
      printf("counter %d zeros %d private %d thread %d %d %s\n", host_counter, host_zeros[2], host_private,
             host_thread, host_private_thread, host_motto);
    } else if (!strcmp(line, "quit")) {
      puts("bye");
      return 0;
    } else {
      printf("unknown order: %s\n", line);
    }
  }
  return 1;
}
