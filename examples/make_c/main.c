/* A till: sells what its standard input says, "apples 3", until that ends. */
#include "till.h"

#include <stdio.h>
#include <stdlib.h>

int main(void) {
  char item[32];
  int pieces;
  if (hot_start(getenv("HOT_SOCKET"))) return 1;
  setvbuf(stdout, NULL, _IOLBF, 0);
  while (scanf("%31s %d", item, &pieces) == 2) HOT(sell)(item, pieces);
  return 0;
}
