// Functions that differ in types that are caught, virtual functions, templates, lambdas and inline statics.
#include <stdexcept>
#include <string>
#include <vector>

struct Shape {
    virtual ~Shape() {}
    virtual int area() const = 0;
    virtual int sides() const { return 4; }
};
struct Square : Shape {
    int side;
    explicit Square(int s) : side(s) {}
    int area() const override { return side * side; }
};
struct Disc : Shape {
    int area() const override { return 3; }
    int sides() const override { return 0; }
};
struct First : std::runtime_error { using std::runtime_error::runtime_error; };
struct Second : std::runtime_error { using std::runtime_error::runtime_error; };

inline int &count() { static int value = 3; return value; }
template <typename T> T twice(T value) { return value + value; }

void fails(int n) {
    if (n > 10) throw First("more than ten");
    if (n < 0) throw Second("less than none");
}
int use_catch(int n) {
    try { fails(n); } catch (const First &) { return 1; } catch (const Second &) { return 2; }
    return 0;
}
Shape *use_new(int n) { if (n) return new Square(n); return new Disc; }
int use_virtual(const Shape &shape) { return shape.area() + shape.sides(); }
int use_template(int n) { return twice(n) + static_cast<int>(twice(2.5)); }
int use_inline() { return ++count(); }
int use_lambda(int n) {
    auto add = [n](int x) __attribute__((noinline)) { return x + n; };
    return add(4);
}
std::string use_string(const std::string &name) { return "dear " + name; }
int use_vector(int n) { std::vector<int> v; for (int i = 0; i < n; i++) v.push_back(i * 3); return v.back(); }
