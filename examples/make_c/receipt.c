#include "till.h"

#include <stdio.h>

static int receipts, taken; /* cents; they go on through each patch */

static void print_total(const char *item, int pieces, int cents) {
  printf("%d: %d %s, %d.%02d", receipts, pieces, item, cents / 100, cents % 100);
  printf("; taken %d.%02d\n", taken / 100, taken % 100);
}

void sell(const char *item, int pieces) {
  int cents = HOT(price)(item, pieces);
  receipts++;
  taken += cents;
  print_total(item, pieces, cents);
}
