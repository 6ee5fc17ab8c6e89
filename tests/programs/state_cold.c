/* The host's file with its counter used in two sections: one loads its page, and the cold part reads and writes there. */
static volatile int hidden_count = 7;
__attribute__((noinline)) void peek(volatile int *count) { __asm__ volatile("" ::"r"(count) : "memory"); }
__attribute__((noinline, cold)) void note(int count) { __asm__ volatile("" ::"r"(count) : "memory"); }
__attribute__((noinline)) int step(int by) {
  peek(&hidden_count);
  if (__builtin_expect(by < 0, 0)) {
    note(1);
    hidden_count += 100;
    note(hidden_count);
    peek(0);
    return hidden_count;
  }
  return 0;
}
int bump(void) { return step(-1); }
int patch_main(void) { return bump(); }
