/* A patch for host.c that needs every kind of call, and no data of the host. */
#include <stdio.h>

struct wide {
  long v[6];
};
struct quad {
  double v[4];
};

int host_add(int, int);
double host_scale(double, float);
long host_ten(long, long, long, long, long, long, long, long, long, long);
double host_sum(int, ...);
struct wide host_wide(long);
struct quad host_quad(double);
int host_each(const int *, int, int (*)(int, void *), void *);
int host_hidden(int);

static int add_context(int value, void *context) { return host_add(value, *(int *)context); }

const char *patch_main(void) {
  static char text[512];
  static const int values[] = {1, 2, 3};
  int context = 100;
  struct wide wide = host_wide(100);
  struct quad quad = host_quad(1.5);
  snprintf(text, sizeof text, "add %d scale %.2f ten %ld sum %.2f wide %ld..%ld quad %.1f..%.1f each %d hidden %d",
           host_add(40, 2), host_scale(2.5, 4.0f), host_ten(0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
           host_sum(3, 1, 0.5, 2, 0.25, 3, 0.125), wide.v[0], wide.v[5], quad.v[0], quad.v[3],
           host_each(values, 3, add_context, &context), host_hidden(2));
  return text;
}
