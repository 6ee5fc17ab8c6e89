/* What bound_host.c has and its patches use. */
struct shape {
  int (*area)(int);
  const char *name;
};
typedef const char *answer(void);

extern int counter, zeroed;
extern const int limit;
extern int array[8];
extern struct shape square;
extern int (*registered)(int);
int host_area(int), host_twice(int);

extern __thread int tls_value, tls_zeroed;
extern __thread long tls_aligned[3];
