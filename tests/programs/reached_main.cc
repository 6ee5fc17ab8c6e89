// Who reaches it.
#include "reached.hh"

extern int (*table[])(int);
extern int (*const constants[])(int);
int use_own(int), use_scaled(int);

static int own(int n) { return n + 11; }  // another file's
int use_price(int n) { return tax(n) + price(n); }
int use_tail(int n) { return price(tax(n) + 1); }
int use_condition(int n) { return n ? price(n) : rate(n); }
int (*use_address(int n))(int) { return n > 3 ? price : n ? rate : tax; }
int use_far(int (*call)(int (*)(int)), int n) {
    if (n & 1) return call(price);
    if (n & 2) return call(rate) + call(price);
    return call(price) * n;
}
int use_virtual(const Shape &shape, int n) { return shape.area(n) + twice(n) + own(n); }
static int call(int (*function)(int)) { return function(2); }
int main(int count, char **) {
    Square square;
    return use_price(count) + use_tail(count) + use_condition(count) + use_address(count)(count) + use_far(call, count) +
           use_virtual(square, count) + table[count & 3](count) + constants[0](count) + use_own(count) + use_scaled(count);
}
