#include "till.h"

#include <string.h>

static const struct { const char *item; int cents; } list[] = {{"apples", 30}, {"bread", 280}, {"tea", 450}};

int price(const char *item, int pieces) {
  for (unsigned i = 0; i < sizeof list / sizeof *list; i++)
    if (!strcmp(list[i].item, item)) return list[i].cents * pieces;
  return 0;
}
