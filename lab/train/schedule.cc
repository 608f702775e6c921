#include "lab/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace hfwa::lab::train {
namespace {

constexpr double kThreshold = 1e-4;    // relative
constexpr double kSmallestCut = 1e-8;  // a smaller change of the rate is none

}  // namespace

double Schedule::LearningRate(int64_t step) const {
  const double base = options_.learning_rate;
  if (step < options_.warmup_steps) {
    return base * static_cast<double>(step + 1) / static_cast<double>(options_.warmup_steps + 1);
  }
  const double span =
      static_cast<double>(std::max<int64_t>(1, total_steps_ - options_.warmup_steps));
  const double done = std::min(1.0, static_cast<double>(step - options_.warmup_steps) / span);
  switch (options_.kind) {
    case ScheduleOptions::Kind::kPlateau:
      return plateau_rate_ < 0.0 ? base : plateau_rate_;
    case ScheduleOptions::Kind::kConstant:
      return base;
    case ScheduleOptions::Kind::kCosine:
      return base * 0.5 * (1.0 + std::cos(std::numbers::pi * done));
    case ScheduleOptions::Kind::kLinear:
      return base * (1.0 - done);
  }
  return base;
}

void Schedule::EndEpoch(double mean_loss) {
  if (!has_best_ || mean_loss < best_ * (1.0 - kThreshold)) {
    best_ = mean_loss;
    has_best_ = true;
    bad_epochs_ = 0;
  } else {
    ++bad_epochs_;
  }
  if (options_.kind != ScheduleOptions::Kind::kPlateau || bad_epochs_ <= options_.patience) return;
  bad_epochs_ = 0;
  const double rate = plateau_rate_ < 0.0 ? options_.learning_rate : plateau_rate_;
  const double lower = rate * options_.factor;
  if (rate - lower > kSmallestCut) plateau_rate_ = lower;
}

nlohmann::json Schedule::State() const {
  return {{"plateau_rate", plateau_rate_},
          {"best", best_},
          {"has_best", has_best_},
          {"bad_epochs", bad_epochs_}};
}

void Schedule::Restore(const nlohmann::json& state) {
  plateau_rate_ = state.at("plateau_rate").get<double>();
  best_ = state.at("best").get<double>();
  has_best_ = state.at("has_best").get<bool>();
  bad_epochs_ = state.at("bad_epochs").get<int>();
}

bool EarlyStop::EndEpoch(int epoch, double mean_loss) {
  const bool better = best_epoch_ < 0 || mean_loss < best_loss_;
  if (better) {
    best_epoch_ = epoch;
    best_loss_ = mean_loss;
    bad_epochs_ = 0;
  } else {
    ++bad_epochs_;
  }
  return better;
}

nlohmann::json EarlyStop::State() const {
  return {{"best_epoch", best_epoch_}, {"best_loss", best_loss_}, {"bad_epochs", bad_epochs_}};
}

void EarlyStop::Restore(const nlohmann::json& state) {
  best_epoch_ = state.at("best_epoch").get<int>();
  best_loss_ = state.at("best_loss").get<double>();
  bad_epochs_ = state.at("bad_epochs").get<int>();
}

}  // namespace hfwa::lab::train
