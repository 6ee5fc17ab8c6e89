/* Functions that callers in this file know: GCC's keep values in registers that these leave alone.

   With EDITED each of them calls something else first, and does what it did. */
struct shop { long sold; double rate; int kind; };
extern struct shop shop;
extern long ticks, reported;
long finish(struct shop *of), pair(long first, long second), three(void), some(void);
double weigh(double what);
void report(const char *form, ...), destroy_registers(void);

#ifdef EDITED
#define EDIT destroy_registers()
#else
#define EDIT (void)0
#endif
#define KNOWN static __attribute__((noinline, aligned(16))) /* a runtime overwrites 16 bytes */

KNOWN long scaled(long x) { EDIT; return (x * 3 + 1) ^ (x << 5); }
long kept_for_itself(long a, long b) { long c = a * 7 + b; return scaled(a) + c * (a ^ b); }

KNOWN void counted(struct shop *of) { EDIT; of->sold++; }
long forwarded(struct shop *of) { counted(of); return finish(of); }

KNOWN int stepped(int x) { EDIT; return x * 5 + 1; }
void variadic(int a) { int b = some(); int r = stepped(a); report("%d %d", r, b); }

KNOWN void ticked(void) { EDIT; ticks++; }
long returned(long x) { long y = x * 2; ticked(); return y; }

KNOWN void tocked(void) { EDIT; ticks--; }
KNOWN void doubled(void) { tocked(); ticks *= 2; }
long through_another(long a) { long b = a * 3 + ticks; doubled(); return b + a; }

KNOWN long rated(long x) { EDIT; return x ^ 0x55; }
double floating(double d, long x) { double e = d * 1.5; long r = rated(x); return weigh(e + d) + r; }

KNOWN long ninth(long x) { EDIT; return x + 9; }
long argument(long a, long b) { return pair(ninth(a), b); }

KNOWN void plain(void) { EDIT; ticks += 7; }
long nothing_kept(void) { plain(); three(); plain(); return three(); }

KNOWN void emptied(struct shop *of) { EDIT; of->sold = 0; }
void nothing_after(struct shop *of) { emptied(of); report("emptied"); }

KNOWN void last(struct shop *of) { EDIT; of->kind++; }
void jumped_to(struct shop *of) { of->sold += 4; last(of); }

KNOWN long chosen(long x) { EDIT; return x * 2; }
long by_table(long a, long k) {
  long r = chosen(a);
  switch (k) {
  case 1: return r + pair(a, 1);
  case 2: return r * three();
  case 3: return r - ticks;
  case 4: return r ^ 77;
  case 5: return pair(r, r);
  case 6: return pair(a, r) + 4;
  case 7: return r + 1;
  default: return 0;
  }
}

KNOWN long turned(long x) { EDIT; return x * 3 + 1; }
long loop(long n) {
  long sum = 0;
  for (long i = 0; i < n; i++) sum += turned(i) ^ sum;
  return sum;
}

struct two { long first, second; };
KNOWN struct two parted(long x) { EDIT; return (struct two){x / 10, x % 10}; }
double beside_a_structure(double d, long x) {
  struct two parts = parted(x);
  return d * parts.first + parts.second;
}

KNOWN long deep(long n) { EDIT; return n < 2 ? n : n * deep(n - 1) + 3; }
long recursive(long n) { return deep(n) + n; }
