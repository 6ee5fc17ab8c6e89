/* A patch whose frame lies between the host's main() and the stub in which it is stopped. */
int host_work(int);

__attribute__((noinline)) static int middle(int x) { return host_work(x) + 1; }

int patch_main(int x) { return middle(x) - 1; }
