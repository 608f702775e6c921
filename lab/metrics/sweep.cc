#include "lab/metrics/sweep.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace hfwa::lab {
namespace {

// A point, if it is far enough from the last.
void Extend(Curve& curve, const CurvePoint& point, double spacing) {
  if (spacing <= 0) return;
  const CurvePoint& last = curve.back();
  if (std::abs(point.x - last.x) + std::abs(point.y - last.y) >= spacing) curve.push_back(point);
}

void End(Curve& curve, const CurvePoint& point, double spacing) {
  if (spacing <= 0) return;
  const CurvePoint& last = curve.back();
  if (point.x != last.x || point.y != last.y) curve.push_back(point);
}

}  // namespace

// A curve in the unit square that only rises is at most 2 long; one that falls again, as precision
// does, may be longer, but steps that matter are as far apart.
Sweep::Sweep(const Totals& totals, int curve_points)
    : totals_(totals), spacing_(curve_points > 2 ? 2.0 / (curve_points - 2) : 0) {
  constexpr double kAbove = std::numeric_limits<double>::infinity();
  result_.roc = {{0, 0, kAbove}};
  result_.pr = {{0, 1, kAbove}};
  result_.pro = {{0, 0, kAbove}};
}

void Sweep::Add(const Step& step) {
  if (step.anomalous > 0) {
    const uint64_t below = totals_.normal - normal_ - step.normal;
    __extension__ using Wide = unsigned __int128;
    pairs_ += 2 * static_cast<Wide>(step.anomalous) * below +
              static_cast<Wide>(step.anomalous) * step.normal;
  }
  normal_ += step.normal;
  anomalous_ += step.anomalous;
  overlap_ += step.overlap;
  if (step.anomalous > 0) {
    const double precision = Count(anomalous_) / Count(anomalous_ + normal_);
    precision_ += precision * Count(step.anomalous);
    // 2PR / (P + R)
    const double f1 = 2 * Count(anomalous_) / Count(totals_.anomalous + anomalous_ + normal_);
    if (f1 > result_.f1_max.value) {
      result_.f1_max.value = f1;
      result_.f1_threshold = step.score;
    }
  }
  const double fpr = totals_.normal > 0 ? Count(normal_) / Count(totals_.normal) : 0;
  if (totals_.regions > 0) AddPro(fpr, pro(), step.score);
  AddPoints(step, fpr);
}

void Sweep::AddPro(double fpr, double pro, double score) {
  if (fpr_ >= kFprMax) return;
  if (fpr > kFprMax) {
    pro = pro_ + (pro - pro_) * (kFprMax - fpr_) / (fpr - fpr_);
    fpr = kFprMax;
  }
  pro_area_ += (fpr - fpr_) * (pro + pro_) / 2;
  fpr_ = fpr;
  pro_ = pro;
  if (fpr == kFprMax) {
    End(result_.pro, {fpr, pro, score}, spacing_);
  } else {
    Extend(result_.pro, {fpr, pro, score}, spacing_ * kFprMax);
  }
}

void Sweep::AddPoints(const Step& step, double fpr) {
  const double recall = totals_.anomalous > 0 ? Count(anomalous_) / Count(totals_.anomalous) : 0;
  Extend(result_.roc, {fpr, recall, step.score}, spacing_);
  if (step.anomalous > 0) {
    const double precision = Count(anomalous_) / Count(anomalous_ + normal_);
    Extend(result_.pr, {recall, precision, step.score}, spacing_);
  }
}

Ranking Sweep::Finish() {
  const auto undefine = [](Metric& metric, const char* why) { metric = Metric::Undefined(why); };
  const double normal = Count(totals_.normal), anomalous = Count(totals_.anomalous);
  if (totals_.anomalous == 0) {
    for (Metric* metric : {&result_.auroc, &result_.ap, &result_.f1_max}) {
      undefine(*metric, "nothing anomalous");
    }
  } else {
    result_.ap.value = precision_ / anomalous;
    if (totals_.normal == 0) {
      undefine(result_.auroc, "nothing normal");
    } else {
      result_.auroc.value = static_cast<double>(pairs_) / 2 / normal / anomalous;
    }
  }
  if (totals_.regions == 0) {
    undefine(result_.aupro, "no region");
  } else if (totals_.normal == 0) {
    undefine(result_.aupro, "nothing normal");
  } else {
    result_.aupro.value = pro_area_ / kFprMax;
  }
  if (totals_.normal > 0 && totals_.anomalous > 0) {
    End(result_.roc, {1, 1, -std::numeric_limits<double>::infinity()}, spacing_);
    End(result_.pr, {1, anomalous / (normal + anomalous), -std::numeric_limits<double>::infinity()},
        spacing_);
  }
  return std::move(result_);
}

}  // namespace hfwa::lab
