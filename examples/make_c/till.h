#ifndef TILL_H
#define TILL_H
#include "hot.h"

/* What so many pieces of an item cost, in cents. */
int price(const char *item, int pieces);

/* Sell them: prints the receipt. */
void sell(const char *item, int pieces);

#endif
