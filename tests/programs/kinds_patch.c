/* A patch that refers to each symbol of kinds.c. */
#define FUNCTION(name) int name(int) __asm__(PREFIX #name)
#define DATUM(name) extern int name __asm__(PREFIX #name)

FUNCTION(global_function);
FUNCTION(static_function);
FUNCTION(hidden_function);
FUNCTION(weak_function);
FUNCTION(protected_function);
FUNCTION(two_statics);
FUNCTION(global_and_static);
FUNCTION(suffixed_in_host);
int suffixed_in_patch(int) __asm__(PREFIX "suffixed_in_patch.llvm.5678");
FUNCTION(suffixed_twice);
FUNCTION(alias_of_global);
FUNCTION(untyped_function);
FUNCTION(misaligned_function);
FUNCTION(global_functoin); /* a slip of the pen */
int weak_missing(int) __asm__(PREFIX "weak_missing") __attribute__((weak));
int puts(const char *);

DATUM(initialised);
DATUM(uninitialised);
DATUM(constant);
DATUM(static_datum);
DATUM(common);
DATUM(hidden_datum);
DATUM(weak_datum);
DATUM(absolute_value);
extern __thread int thread_datum __asm__(PREFIX "thread_datum");
extern __thread int thread_zero __asm__(PREFIX "thread_zero");
extern __thread int thread_static __asm__(PREFIX "thread_static");

#ifdef __ELF__
extern int local_static __asm__("hits.0");
FUNCTION(exported_ifunc);
FUNCTION(hidden_ifunc);
FUNCTION(function_in_data);
FUNCTION(versioned);
int versioned_old(int);
__asm__(".symver versioned_old, versioned@V1");
extern int end_of_image __asm__("_end");
#else
extern int local_static __asm__("_function_local_static.hits");
#endif

int patch_main(int x) {
  x += global_function(x) + static_function(x) + hidden_function(x) + weak_function(x) + protected_function(x);
  x += two_statics(x) + global_and_static(x) + suffixed_in_host(x) + suffixed_in_patch(x) + suffixed_twice(x);
  x += alias_of_global(x) + untyped_function(x) + misaligned_function(x) + global_functoin(x) + puts("");
  x += weak_missing ? weak_missing(x) : 0;
  x += initialised + uninitialised + constant + static_datum + common + hidden_datum + weak_datum + absolute_value;
  x += thread_datum + thread_zero + thread_static + local_static;
#ifdef __ELF__
  x += exported_ifunc(x) + hidden_ifunc(x) + function_in_data(x) + versioned(x) + versioned_old(x);
  x += end_of_image;
#endif
  return x;
}
