// Thread-locals of a patch's own in C++: initialisers and destructors that run on each thread, wrappers and guards.
//
//   UNIT     the name of the function that counts in them
//   OTHER    the thread-local that this file defines for another; USED that file's
#include <cstdio>

static int dropped;

struct Counter {
  long value;
  explicit Counter(long start) : value(start) {}
  ~Counter() { dropped += (int)value; }
};

static long seed(long by) { return 40 + by; }

template <class T> struct Of {
  static thread_local T value;
};
template <class T> thread_local T Of<T>::value = T(3);

thread_local long OTHER = seed(2);
extern thread_local long USED;
static thread_local Counter counter(10);
static thread_local long initialised = seed(1);
static thread_local long plain = 7;

__attribute__((noinline)) static long local() {
  static thread_local Counter inside(20);
  return ++inside.value;
}

struct Lambda {
  template <class F> long operator()(F f) const { return f(); }
};

extern "C" long UNIT() {
  initialised++, plain++;
  long inside = local();
  long lambda = Lambda()([] {
    static thread_local long kept = seed(3);
    return ++kept;
  });
  Of<UNIT_TYPE>::value = Of<UNIT_TYPE>::value + 1;
  return ++counter.value * 1000000 + (initialised + plain + inside + lambda + OTHER + USED) * 100 + (long)Of<UNIT_TYPE>::value;
}

extern "C" int UNIT_DROPPED() { return dropped; }
