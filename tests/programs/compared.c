/* Functions that differ in what they refer to: strings, tables, statics, thread-locals, other functions. */
int printf(const char *, ...), puts(const char *);
unsigned long strlen(const char *);

static int counter;
static int other = 4;
int shared = 9;
__thread int depth;
static __thread int level = 5;
const char *names[] = {"one", "two", "three"};
static const int table[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};

int outside(int);

__attribute__((noinline)) static int helper(int x) { counter += x; return counter * other; }
int use_string(int x) { printf("hello %d\n", x); return x; }
int use_calls(int x) { return helper(x) + outside(x); }
int use_table(int i) { return table[i] + other; }
int use_switch(int i) {
    switch (i) {
    case 1: return outside(3);
    case 2: return 77;
    case 3: return helper(9);
    case 4: return 12;
    case 5: return 99;
    case 6: puts("six"); return 3;
    default: return -1;
    }
}
int use_names(int i) { return strlen(names[i]); }
int use_threads(int i) { depth += i; level += 2; return depth + level; }
int use_statics(void) { static int n; static int m = 8; return ++n + ++m; }
double use_doubles(double x) { return x * 3.25 + 1.1; }
void *use_address(void) { return (void *)helper; }
int use_shared(void) { return ++shared; }
