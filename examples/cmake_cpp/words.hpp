#pragma once
#include "hot.h"

#include <map>
#include <string>

using Counts = std::map<std::string, int>;

// Counts the words of each line that it gets.
class Counter {
public:
  void add(const std::string &line);
  const Counts &counts() const { return counts_; }

private:
  Counts counts_;
};

// What is said of a line.
std::string report(Counter &counter, const std::string &line);

// How a word is counted.
std::string spelling(const std::string &word);
