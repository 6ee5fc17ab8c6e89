/* What is edited while a runtime runs it. */
int taken;
static int rate(int n) { return n < 3 ? 2 : 3; }
__attribute__((noinline)) int unrelated(int n) { return n ^ 5; }
__attribute__((noinline)) static int tax(int n) { return rate(n) * n; }
__attribute__((noinline)) int price(int n) { return tax(n) + 100; }
long step(long n) { taken++; return price(n) + 1000 * taken + unrelated(0); }
