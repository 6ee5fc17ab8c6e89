// Compiled twice: for the host, and with PATCH for the patch, which changes `corners`, `limits` and what is caught.
#include "identity.hh"

#include <cstdio>

#ifdef PATCH
#define CORNERS 40
#else
#define CORNERS 4
#endif

namespace {
struct Error {
  int code;
};
struct Secret : Shape {
  int corners() override { return CORNERS + 1; }
};
} // namespace

extern const char shared_tag[8] = "shared";
static const char tag[8] = "tag";
extern const int limits[2] = {1, CORNERS};

int Shape::corners() { return CORNERS; }

#ifndef PATCH
Shape *host_shape() { return new Shape; }
Shape *host_secret() { return new Secret; }
__attribute__((noinline)) void host_throw() { throw Error{5}; }
const std::type_info *host_info() { return &typeid(Shape); }
const void *host_tag() { return tag; }
__attribute__((noinline)) int host_corners(Shape *shape) { return shape->corners(); }
int unit_catches() {
  try {
    host_throw();
  } catch (const Error &error) {
    return error.code + limits[0] - 1;
  }
  return typeid(Inline).name()[0];
}
#else
extern "C" const char *patch_main() {
  static char text[128];
  int caught = -1;
  try {
    host_throw();
  } catch (const Error &error) {
    caught = error.code;
  }
  Shape *theirs = host_shape(), *own = new Shape, *secret = host_secret();
#ifdef FOLDED // the compiler knows the name of a type that it knows
  const std::type_info *secret_info = &typeid(Secret);
#else
  static const std::type_info *volatile secret_info = &typeid(Secret);
#endif
  // libc++ compares types by the addresses of their names
  int names = (typeid(*theirs).name() == typeid(Shape).name()) + 10 * (typeid(*secret).name() == secret_info->name());
  int infos = host_info() == &typeid(Shape);
  int casts = (dynamic_cast<Secret *>(secret) != nullptr) + 10 * (dynamic_cast<Secret *>(theirs) != nullptr);
  const int *volatile edited = limits;
  std::snprintf(text, sizeof text, "caught %d names %d infos %d casts %d tag %d limits %d corners %d %d %d", caught, names,
                infos, casts, host_tag() == (const void *)tag, edited[1], theirs->corners(), own->corners(),
                host_corners(own));
  return text;
}
#endif
