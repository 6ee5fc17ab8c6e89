/* The runtime of the adversary's programs on Mach-O, where an emulator fills in the table and calls the entries. */
typedef unsigned long function(unsigned long);
extern function *const entries[];
struct { unsigned long old, new; } table[4096];
unsigned long count;

void *hot(void *called) {
  for (unsigned long i = 0; i < count; i++)
    if (table[i].old == (unsigned long)called) return (void *)table[i].new;
  return called;
}

#define KEPT __attribute__((used)) /* by -dead_strip as well: there is no library to take them from */
KEPT unsigned long strlen(const char *text) { unsigned long size = 0; while (text[size]) size++; return size; }
KEPT void *memset(void *to, int byte, unsigned long size) { for (unsigned long i = 0; i < size; i++) ((char *)to)[i] = (char)byte; return to; }
KEPT void *memcpy(void *to, const void *from, unsigned long size) {
  for (unsigned long i = 0; i < size; i++) ((char *)to)[i] = ((const char *)from)[i];
  return to;
}

int main(void) { return (int)entries[0](0) + (int)(unsigned long)hot(0); }
