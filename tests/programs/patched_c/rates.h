static inline int rate(int n) { return n < 3 ? 2 : 3; }
int price(int n);
