#include "rates.hh"
namespace { [[gnu::noinline]] int tax(int n) { return rate<2>(n) * n; } }
int price(int n) { return tax(n) + 100; }
