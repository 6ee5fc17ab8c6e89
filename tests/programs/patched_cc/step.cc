// What is edited while table_runtime.c runs it.
#include "rates.hh"
extern "C" void *hot(void *function);
Till till;
extern "C" long step(long n) { return till.add(((int (*)(int))hot((void *)price))(n)); }
