/* A library with thread-locals, which a program of others loads by dlopen. Orders as in bound_host.c: patch, again,
   thread, state, quit. With GENERATION it is an edit of that file, a patch. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#ifdef ELSEWHERE /* another file has those that others see */
extern __thread long shown;
extern __attribute__((visibility("hidden"))) __thread int within;
extern __thread char zero;
#else
__thread long shown = 100;
__attribute__((visibility("hidden"))) __thread int within = 40;
__thread char zero;
#endif
static __thread long hidden_away[3] = {7, 8, 9};

typedef const char *answer(void);

__attribute__((noinline)) long library_sum(long by) {
  shown += by, hidden_away[1] += by, within += by, zero += by;
  return shown * 1000000 + hidden_away[1] * 10000 + within * 100 + zero;
}

#ifdef GENERATION

static __attribute__((noinline)) long *address(void) { return &hidden_away[1]; }

const char *patch_main(void) {
  static __thread int added = GENERATION;
  static __thread char text[64];
  shown += 1, *address() += 1, within += 1, zero += 1, added += 10;
  long (*volatile hosts)(long) = library_sum;
  long own = shown * 1000000 + hidden_away[1] * 10000 + within * 100 + zero;
  int same = own == hosts(0) && hidden_away[0] + hidden_away[2] == 16;
  snprintf(text, sizeof text, "%s %d", same ? "shared" : "apart", added);
  return text;
}

#else

static const char *before(void) {
  static __thread char text[32];
  snprintf(text, sizeof text, "%ld", library_sum(0));
  return text;
}

static answer *current = before;

static void *on_thread(void *unused) {
  current(), printf("%s host %ld\n", current(), library_sum(0));
  return unused;
}

int library_main(void) {
  char line[4096];
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("anchor %p\n", (void *)&library_main);
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = 0;
    if (!strncmp(line, "patch ", 6)) {
      void *patch = dlopen(line + 6, RTLD_NOW | RTLD_LOCAL);
      answer *loaded = patch ? (answer *)dlsym(patch, "patch_main") : NULL;
      if (loaded) current = loaded;
      puts(loaded ? current() : dlerror());
    } else if (!strcmp(line, "again")) {
      puts(current());
    } else if (!strcmp(line, "thread")) {
      pthread_t thread;
      pthread_create(&thread, NULL, on_thread, NULL);
      pthread_join(thread, NULL);
    } else if (!strcmp(line, "state")) {
      printf("%ld\n", library_sum(0));
    } else if (!strcmp(line, "quit")) {
      puts("bye");
      return 0;
    }
  }
  return 1;
}

#endif
