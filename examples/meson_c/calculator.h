#ifndef CALCULATOR_H
#define CALCULATOR_H
#include "hot.h"
#include <stdbool.h>

/* The value of "2 + 3 * 4", from left to right without precedence; "ans" is the thread's last one. */
bool evaluate(char *line, long *value);

/* left OPERATOR right; false where that has no value. */
bool compute(long left, char operator, long right, long *value);

#endif
