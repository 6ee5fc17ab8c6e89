#include "calculator.h"

#include <stdlib.h>
#include <string.h>

static _Thread_local long last; /* goes on through each patch */

static bool number(const char *word, long *value) {
  char *end;
  *value = strcmp(word, "ans") ? strtol(word, &end, 10) : last;
  return !strcmp(word, "ans") || (end != word && !*end);
}

bool evaluate(char *line, long *value) {
  char *word = strtok(line, " \n");
  long right;
  if (!word || !number(word, value)) return false;
  while ((word = strtok(NULL, " \n"))) {
    char operator = word[0];
    word = strtok(NULL, " \n");
    if (!word || !number(word, &right) || !HOT(compute)(*value, operator, right, value)) return false;
  }
  last = *value;
  return true;
}
