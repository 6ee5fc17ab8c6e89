#include "rates.h"
__attribute__((noinline)) static int tax(int n) { return rate(n) * n; }
int price(int n) { return tax(n) + 100; }
