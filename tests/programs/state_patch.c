/* The host's file with one function changed, as a builder recompiles it: it defines the host's variables again. */
int visible_count = 5;
static volatile int hidden_count = 7;
static volatile long table[4] = {1, 2, 3, 4};
#ifdef RESIZED
volatile int resized[3];
#else
volatile int resized[2];
#endif

int bump(void) {
  table[2] += 10;
  resized[1]++;
  hidden_count += 100;
  visible_count += 100;
  return hidden_count + visible_count;
}
int patch_main(void) { return bump(); }
