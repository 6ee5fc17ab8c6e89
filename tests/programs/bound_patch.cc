// A patch through which the host's exceptions pass, which catches some and throws others.
#include "bound.hh"

static void patch_throw(int what) {
  Guard guard;
  if (what == 1) throw HostError(44);
  if (what == 2) throw InlineError{55};
  host_throw(3);
}

struct Circle : Square { // a class of the patch whose base is the host's
  int area() const override { return Square::area() + 1; }
};

extern "C" int patch_main(int kind) {
  Guard guard;
  switch (kind) {
  case 1:
  case 2:
  case 3:
    host_throw(kind); // passes through this frame
    return -1;
  case 4:
    try {
      host_throw(1);
    } catch (const HostError &error) {
      return error.code;
    }
    return -1;
  case 5:
    try {
      host_throw(2);
    } catch (const InlineError &error) {
      return error.twice();
    }
    return -1;
  case 6:
    patch_throw(1); // the host catches what the patch throws
    return -1;
  case 7:
    return host_catch(patch_throw, 2);
  case 8:
    return host_catch(patch_throw, 3);
  default: {
    Circle circle;
    Shape *shape = &circle, *square = host_shape(1), *plain = host_shape(0);
    return (dynamic_cast<Square *>(square) != nullptr) + 10 * (dynamic_cast<Square *>(plain) != nullptr) +
           100 * (typeid(*square) == typeid(Square)) + 1000 * shape->area();
  }
  }
}
