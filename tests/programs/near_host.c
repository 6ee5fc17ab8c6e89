// What near_patch.c reaches; linked beside bound_host.c.
#include "near.h"
#include <stdio.h>

signed char near_byte = -3;
unsigned short near_short = 400;
volatile int near_int = 41;
long near_long = 1L << 40, near_row[4] = {1, 2, 3, 4};
__int128 near_wide = (__int128)5 << 64 | 6;
double near_real = 0.5;
four near_four = {1, 2, 3, 4};
struct record near_record = {.head = "head", .tail = 7, .last = 8};
char near_text[9000] = "text";
struct packed near_packed __attribute__((aligned(8))) = {1, 2};

int near_function(int value) { return value * 2; }

const char *near_look(void) {
  static char text[256];
  snprintf(text, sizeof text, "%d %d %d %ld %ld %ld:%ld %.1f %d %s%d%ld %s %d %ld", near_byte, near_short, near_int, near_long,
           near_row[2], (long)(near_wide >> 64), (long)near_wide, near_real, near_four[3], near_record.head, near_record.tail,
           near_record.last, near_text, near_packed.first, near_packed.second);
  return text;
}
