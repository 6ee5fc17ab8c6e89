#include "words.hpp"

#include <sstream>

static int lines; // goes on through each patch

std::string report(Counter &counter, const std::string &line) {
  std::ostringstream out;
  counter.add(line);
  out << "line " << ++lines << ":";
  for (const auto &[word, times] : counter.counts()) out << ' ' << word << ' ' << times;
  return out.str();
}
