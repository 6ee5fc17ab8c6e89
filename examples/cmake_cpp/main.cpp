// Counts the words of its standard input, and says after each line how often its words came.
#include "words.hpp"

#include <cstdlib>
#include <iostream>

int main() {
  Counter counter;
  std::string line;
  if (hot_start(std::getenv("HOT_SOCKET"))) return 1;
  while (std::getline(std::cin, line)) std::cout << HOT(report)(counter, line) << std::endl;
}
