/* What is edited while table_runtime.c runs it. */
#include "rates.h"
void *hot(void *function);
int taken;
long step(long n) { taken++; return ((int (*)(int))hot((void *)price))(n) + 1000 * taken; }
