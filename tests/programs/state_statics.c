/* The host's file with one more static in front of the one that counts, which gives that another number. */
int calls(void) {
  static volatile int more = 1;
  static volatile int count = 40;
  count += more;
  return count;
}
int patch_main(void) { return calls(); }
