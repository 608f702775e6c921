#pragma once

// The metrics of a ranking (training-and-data spec, 7.1 to 7.3 and 7.6), in one pass over its
// distinct scores.

#include <cstdint>
#include <vector>

#include "lab/metrics/metric.h"

namespace hfwa::lab {

struct CurvePoint {
  double x;
  double y;
  double threshold;  // what scores at least this much lies below the point
};
using Curve = std::vector<CurvePoint>;

struct Ranking {
  Metric auroc;
  Metric ap;      // mean precision over recall, without interpolation
  Metric f1_max;  // over thresholds `score >= t`
  double f1_threshold = 0;
  Metric aupro;  // exact, up to kFprMax; undefined without regions
  // At most as many points as asked for, the first and last ones always.
  Curve roc;  // false positive rate, true positive rate
  Curve pr;   // recall, precision
  Curve pro;  // false positive rate up to kFprMax, mean overlap with the regions
};

// Where AUPRO's integral ends.
inline constexpr double kFprMax = 0.3;

class Sweep {
 public:
  struct Totals {
    uint64_t normal = 0;
    uint64_t anomalous = 0;
    uint64_t regions = 0;  // 0: no AUPRO
  };
  // All that has one score.
  struct Step {
    double score;
    uint64_t normal;
    uint64_t anomalous;
    double overlap = 0;  // sum over the anomalous pixels of 1 / the area of their region
  };

  explicit Sweep(const Totals& totals, int curve_points = 0);

  // Scores strictly descend; together the steps hold what the totals say.
  void Add(const Step& step);

  // Mean overlap of what was added.
  double pro() const { return totals_.regions > 0 ? overlap_ / Count(totals_.regions) : 0; }

  Ranking Finish();

 private:
  static double Count(uint64_t count) { return static_cast<double>(count); }
  void AddPro(double fpr, double pro, double score);
  void AddPoints(const Step& step, double fpr);

  const Totals totals_;
  const double spacing_;  // of points on a curve
  uint64_t normal_ = 0;   // so far
  uint64_t anomalous_ = 0;
  double overlap_ = 0;
  // Twice the number of pairs in the right order: exact, where doubles would round.
  __extension__ unsigned __int128 pairs_ = 0;
  double precision_ = 0;  // sum of precision times the anomalous ones added
  double fpr_ = 0;        // where the PRO curve stands
  double pro_ = 0;
  double pro_area_ = 0;
  Ranking result_;
};

}  // namespace hfwa::lab
