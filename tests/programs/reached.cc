// Whose code is replaced.
#include "reached.hh"

Shape::~Shape() {}
__attribute__((noinline)) int Shape::area(int n) const { return n * 3; }
__attribute__((noinline)) int Square::area(int n) const { return n * n; }
extern "C" __attribute__((noinline)) int price(int n) { return n < 5 ? n + 7 : price(n / 2) * 3; }
extern "C" __attribute__((noinline)) int rate(int n) { return n % 7; }
int scaled(int n) { return n * 5 + rate(n); }
static int own(int n) { return n / 3 + 1; }
int (*table[])(int) = {tax, price, own, twice<int>};
extern int (*const constants[])(int);
int (*const constants[])(int) = {rate, nullptr, scaled};
int use_own(int n) {
    for (int i = 0; i < n; i++) n += own(i) - own(n);
    return n;
}
int use_scaled(int n) { return scaled(n) + scaled(n + 2); }
