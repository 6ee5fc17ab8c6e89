/* A host with a symbol of every kind; kinds_patch.c refers to each. Builds for ELF and for Mach-O. */

#define KEEP __attribute__((noinline, used))

/* Functions. */
KEEP int global_function(int x) { return x + 1; }
KEEP static int static_function(int x) { return x + 2; }
KEEP __attribute__((visibility("hidden"))) int hidden_function(int x) { return x + 3; }
KEEP __attribute__((weak)) int weak_function(int x) { return x + 4; }
KEEP __attribute__((visibility("protected"))) int protected_function(int x) { return x + 5; }

/* A static of this name is in kinds_other.c as well. */
KEEP static int two_statics(int x) { return x + 6; }
/* kinds_other.c has a static one beside this global one. */
KEEP int global_and_static(int x) { return x + 7; }

/* What ThinLTO leaves of functions that were static and are used from other units. */
KEEP int suffixed_in_host(int) __asm__(PREFIX "suffixed_in_host.llvm.1234");
int suffixed_in_host(int x) { return x + 8; }
KEEP int suffixed_in_patch(int x) { return x + 9; }
KEEP int suffixed_twice_a(int) __asm__(PREFIX "suffixed_twice.llvm.1");
int suffixed_twice_a(int x) { return x + 10; }
KEEP int suffixed_twice_b(int) __asm__(PREFIX "suffixed_twice.llvm.2");
int suffixed_twice_b(int x) { return x + 11; }

/* Data. */
int initialised = 1;
int uninitialised __attribute__((nocommon));
const int constant = 2;
__attribute__((used)) static int static_datum = 3;
int common;
__attribute__((visibility("hidden"))) int hidden_datum = 4;
__attribute__((weak)) int weak_datum = 5;
KEEP int *function_local_static(void) {
  static int hits = 6;
  hits++;
  return &hits;
}

/* Thread-locals. */
__thread int thread_datum = 7;
__thread int thread_zero;
__attribute__((used)) static __thread int thread_static = 8;

KEEP int use(void) {
  return static_function(1) + two_statics(2) + static_datum + thread_static + thread_zero + common + *function_local_static();
}

#ifdef __ELF__
/* One name for two functions: which one runs depends on the processor. */
static int chosen(int x) { return x + 12; }
static void *choose(void) { return (void *)chosen; }
KEEP int exported_ifunc(int) __attribute__((ifunc("choose")));
KEEP __attribute__((visibility("hidden"))) int hidden_ifunc(int) __attribute__((ifunc("choose")));

KEEP int alias_of_global(int) __attribute__((alias("global_function")));

/* Two versions of one function: V2 is the default. */
__asm__(".symver versioned_first, versioned@V1\n"
        ".symver versioned_second, versioned@@V2");
KEEP int versioned_first(int x) { return x + 13; }
KEEP int versioned_second(int x) { return x + 14; }
#endif

int puts(const char *);
int main(void) {
  puts("kinds");
  return use() + suffixed_in_host(1);
}
