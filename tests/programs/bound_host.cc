// A C++ host whose exceptions cross patched frames. Orders as in bound_host.c: patch, call KIND, quit.
#include "bound.hh"

#include <cstdio>
#include <cstring>
#include <dlfcn.h>

Shape::~Shape() {}
int Shape::area() const { return side; }
int Square::area() const { return side * side; }
const char *HostError::what() const noexcept { return "host error"; }
int live_guards;

__attribute__((noinline)) void host_throw(int what) {
  if (what == 1) throw HostError(11);
  if (what == 2) throw InlineError{22};
  if (what == 3) throw 33;
}

__attribute__((noinline)) int host_catch(void (*thrower)(int), int what) {
  try {
    thrower(what);
  } catch (const HostError &error) {
    return 100 + error.code;
  } catch (const InlineError &error) {
    return 200 + error.twice();
  } catch (int number) {
    return 300 + number;
  }
  return 0;
}

__attribute__((noinline)) Shape *host_shape(int kind) {
  static Square square;
  static Shape shape;
  return kind ? &square : &shape;
}

int main() {
  static char line[4096];
  int (*patch_main)(int) = nullptr;
  setvbuf(stdout, nullptr, _IOLBF, 0);
  std::printf("anchor %p\n", (void *)&main);
  while (std::fgets(line, sizeof line, stdin)) {
    line[std::strcspn(line, "\n")] = 0;
    if (!std::strncmp(line, "patch ", 6)) {
      void *patch = dlopen(line + 6, RTLD_NOW | RTLD_LOCAL);
      patch_main = patch ? (int (*)(int))dlsym(patch, "patch_main") : nullptr;
      std::puts(patch_main ? "loaded" : dlerror());
    } else if (!std::strncmp(line, "call ", 5)) {
      const char *how = "returned";
      int value = 0;
      try {
        value = patch_main(line[5] - '0');
      } catch (const HostError &error) {
        how = error.what(), value = error.code;
      } catch (const InlineError &error) {
        how = "inline error", value = error.twice();
      } catch (int number) {
        how = "number", value = number;
      }
      std::printf("%s %d guards %d\n", how, value, live_guards);
    } else {
      host_catch(host_throw, 0); // what the patch needs is in the host, run-time type information's functions too
      Shape *volatile shape = host_shape(line[0] == 'q');
      std::puts(typeid(*shape) == typeid(Square) && dynamic_cast<Square *>(shape) ? "bye" : "no square");
      return 0;
    }
  }
  return 1;
}
