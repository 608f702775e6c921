#pragma once

#include <optional>

namespace hfwa::bench {

// Searches for the largest rate that passes: doubles until one fails (or halves until one passes),
// then halves the gap, on a scale of ratios, until it is small.
class RateSearch {
 public:
  // Begins with `first`; gives up below `least`. Ends when the best that passed and the least that
  // failed are less than `gap` apart, such as 0.05 for 5 %. All more than 0.
  RateSearch(double first, double least, double gap) : next_(first), least_(least), gap_(gap) {}

  // What to try next; nothing when the search has ended.
  std::optional<double> Next() const;
  // How the rate that Next gave went.
  void Report(bool passed);
  // The largest that passed; nothing if none did.
  std::optional<double> best() const { return passed_; }

 private:
  double next_;
  const double least_;
  const double gap_;
  std::optional<double> passed_;
  std::optional<double> failed_;
};

}  // namespace hfwa::bench
