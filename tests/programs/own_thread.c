/* Thread-locals of a patch's own, as its files reach them; one of the files of a patch.

   UNIT        the function that tells what is wrong in this file; NULL if nothing is
   SHARED      the name of a thread-local that this file defines for others
   NEIGHBOUR   that of one that another file defines
   GAP         bytes between two parts of one */
#include <stddef.h>

#ifndef GAP
#define GAP 9000
#endif

static __thread long first = 5;
static __thread int several[3] = {1, 2, 3};
static __thread char zero;
static __thread short small;
static __thread double block[40];
static __thread struct {
  long head;
  char gap[GAP];
  int far;
} large = {.head = 11, .far = 12};
__thread __int128 SHARED = 7;
extern __thread __int128 NEIGHBOUR;

static __attribute__((noinline)) long *address(void) { return &first; }
static __attribute__((noinline)) int *far_address(void) { return &large.far; }
static __attribute__((noinline, cold)) void rarely(int by) { first += by, SHARED += by; }

static __attribute__((noinline)) long sum(int to) {
  long total = 0;
  for (int i = 0; i < to; i++) {
    several[i % 3] += i;
    block[i % 40] += several[(i + 1) % 3] + small + zero;
    total += first + (long)block[i % 40];
  }
  return total + (long)SHARED;
}

static __attribute__((noinline)) int branches(int k) {
  if (__builtin_expect(k > 1000, 0)) rarely(k);
  return k == 3 ? several[2] : k < 3 ? small : zero;
}

/* Calls so far on this thread -> what is not as it must be. */
const char *UNIT(int calls) {
  if (first != 5 + calls || *address() != 5 + calls) return "first";
  if (several[0] != 1 || several[1] != 2 || several[2] != 3) return "several";
  if (zero != (char)calls || small != (short)-calls) return "small";
  if (large.head != 11 + calls || *far_address() != 12 + 2 * calls) return "large";
  if (SHARED != 7) return "shared";
  if (NEIGHBOUR != 7) return "neighbour";
  for (size_t i = 0; i < sizeof block / sizeof *block; i++)
    if (block[i] != 0) return "block";
  rarely(2000);
  if (first != 2005 + calls || SHARED != 2007) return "rarely";
  rarely(-2000);
  long before = (5 + calls) * 4 + 7, added = 0;
  int model[3] = {1, 2, 3};
  for (int i = 0; i < 4; i++) model[i % 3] += i, added += model[(i + 1) % 3] - calls + calls;
  if (sum(4) != before + added) return "sum";
  if (branches(3) != 5 || branches(2) != -calls || branches(4) != calls) return "branches";
  if (__atomic_fetch_add(address(), 1, __ATOMIC_SEQ_CST) != 5 + calls) return "atomic";
  for (int i = 0; i < 4; i++) block[i] = 0;
  several[0] = 1, several[1] = 2, several[2] = 3, zero++, small--, large.head++, *far_address() += 2;
  return NULL;
}
