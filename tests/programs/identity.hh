// What identity_host.cc and identity_unit.cc, the file that is patched, know of each other.
#include <typeinfo>

struct Shape { // its key function is in the patched file, and so are its vtable and type_info
  virtual int corners();
  virtual ~Shape() {}
};

struct Inline { // no key function: whoever uses it has a type_info
  virtual int twice() { return 2; }
};

Shape *host_shape();
Shape *host_secret();
void host_throw();
const std::type_info *host_info();
const void *host_tag();
int host_corners(Shape *shape);
int unit_catches();
