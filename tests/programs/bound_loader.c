/* A program that is nothing but the library with host_main(), which has the thread-locals. */
int host_main(void);
int main(void) { return host_main(); }
