#include "calculator.h"

static long add(long left, long right) { return left + right; }
static long subtract(long left, long right) { return left - right; }
static long multiply(long left, long right) { return left * right; }

static const struct { char operator; long (*apply)(long left, long right); } operators[] = {
  {'+', add},
  {'-', subtract},
  {'*', multiply},
};

bool compute(long left, char operator, long right, long *value) {
  for (unsigned i = 0; i < sizeof operators / sizeof *operators; i++)
    if (operators[i].operator == operator) {
      *value = operators[i].apply(left, right);
      return true;
    }
  return false;
}
