/* A calculator: answers each line of its standard input. */
#include "calculator.h"

#include <stdio.h>
#include <stdlib.h>

int main(void) {
  char line[256];
  long value;
  if (hot_start(getenv("HOT_SOCKET"))) return 1;
  setvbuf(stdout, NULL, _IOLBF, 0);
  while (fgets(line, sizeof line, stdin)) {
    if (HOT(evaluate)(line, &value)) printf("%ld\n", value);
    else puts("?");
  }
  return 0;
}
