// What bound_host.cc has and its patch uses.
#include <exception>
#include <typeinfo>

struct Shape { // its first virtual function is in the host, and so are its vtable and typeinfo
  virtual ~Shape();
  virtual int area() const;
  int side = 3;
};

struct Square : Shape {
  int area() const override;
};

struct HostError : std::exception { // likewise
  explicit HostError(int code) : code(code) {}
  const char *what() const noexcept override;
  int code;
};

struct InlineError { // no such function: host and patch have a typeinfo each
  InlineError(int code) : code(code) {}
  int code;
  virtual int twice() const { return 2 * code; }
};

extern int live_guards;
struct Guard {
  Guard() { live_guards++; }
  ~Guard() { live_guards--; }
};

void host_throw(int what);
int host_catch(void (*thrower)(int), int what);
Shape *host_shape(int kind);
