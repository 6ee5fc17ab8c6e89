// Variables and a function that the whole program sees and nobody else: code reaches them without the GOT.
typedef int four __attribute__((vector_size(16)));
struct packed { int first; long second; } __attribute__((packed));
struct record { char head[5000]; int tail; long last; };

#pragma GCC visibility push(hidden)
extern signed char near_byte;
extern unsigned short near_short;
extern volatile int near_int;
extern long near_long, near_row[4];
extern __int128 near_wide;
extern double near_real;
extern four near_four;
extern struct record near_record;
extern char near_text[9000];
extern struct packed near_packed;
int near_function(int value);
const char *near_look(void);
#pragma GCC visibility pop
