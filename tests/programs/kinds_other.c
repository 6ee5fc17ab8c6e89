/* The second unit of the host in kinds.c. */
#define KEEP __attribute__((noinline, used))

KEEP static int two_statics(int x) { return x * 6; }
KEEP static int global_and_static(int x) { return x * 7; }
int use_other(int x) { return two_statics(x) + global_and_static(x); }
