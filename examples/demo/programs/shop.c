/* A shop that never closes. "order ITEM" sells one, "patch FILE" takes a new checkout() from a shared library. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define KEEP __attribute__((noinline, used)) /* small functions stay functions */

static int orders; /* must survive the patch */

KEEP int count_order(void) { return ++orders; }
KEEP int price_of(int item) { return 100 * item + 50; }
KEEP static int add_tax(int cents) { return cents + cents / 5; } /* static: no linker finds it by name */

KEEP int checkout(int item) {
  count_order();
  return add_tax(price_of(item));
}

int (*current_checkout)(int) = checkout; /* what a hot-reload runtime keeps for each function */

KEEP int serve(int item) { return current_checkout(item); }

int main(void) {
  char line[4096];
  int item;
  printf("anchor %p\n", (void *)main);
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = 0;
    if (sscanf(line, "order %d", &item) == 1) {
      int cents = serve(item);
      printf("order %d costs %d\n", orders, cents);
    } else if (strncmp(line, "patch ", 6) == 0) {
      void *patch = dlopen(line + 6, RTLD_NOW | RTLD_LOCAL);
      void *found = patch ? dlsym(patch, "checkout") : NULL;
      if (found) current_checkout = (int (*)(int))found;
      printf("%s %p\n", found ? "checkout" : dlerror(), found);
    }
    fflush(stdout);
  }
  return 0;
}
