// Functions that are called, inlined, kept in tables and in vtables.
#pragma once

struct Shape {
    virtual ~Shape();
    virtual int area(int n) const;
};
struct Square : Shape {
    int area(int n) const override;
};

extern "C" int price(int n);
extern "C" int rate(int n);
int scaled(int n);
inline int tax(int n) { return n * n + 3; }
template <typename T> __attribute__((noinline)) T twice(T value) { return value + value; }
