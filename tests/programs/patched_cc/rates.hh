#pragma once
template <int Low> inline int rate(int n) { return n < 3 ? Low : Low + 1; }
struct Till {
  int taken = 0;
  long add(int price) { return price + 1000 * ++taken; }
};
int price(int n);
