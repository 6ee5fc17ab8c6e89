#include "rates.hh"
int main() { return price(0); }
