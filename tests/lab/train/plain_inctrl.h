#pragma once

// InCTRL's formulas written out once more: what it is tested against.

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "lab/train/inctrl.h"

namespace hfwa::lab::train {

// The formulas of inctrl.h, one query and one unit at a time, in double.
class PlainInctrl {
 public:
  using Row = std::vector<double>;
  using Rows = std::vector<Row>;

  explicit PlainInctrl(const Tensors& values) {
    for (const auto& [name, value] : values) {
      const at::Tensor flat = value.to(at::kDouble).flatten().contiguous();
      values_[name].assign(flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel());
    }
  }
  std::map<std::string, Row>& values() { return values_; }

  struct Scores {
    Row score, image;
  };
  Scores Run(const InctrlInput& input, bool training) {
    Rows residuals = RowsOf(input.residuals), features = RowsOf(input.features);
    Rows differences;
    for (size_t b = 0; b < features.size(); ++b) {
      Row difference = Adapt(features[b]);
      const Rows references = RowsOf(input.references[b]);
      for (const Row& reference : references) {
        const Row adapted = Adapt(reference);
        for (size_t e = 0; e < difference.size(); ++e)
          difference[e] -= adapted[e] / static_cast<double>(references.size());
      }
      differences.push_back(difference);
    }
    Scores scores;
    scores.image = Head("image_head", differences, training);
    Rows maps = residuals;
    for (size_t b = 0; b < maps.size(); ++b) {
      for (double& value : maps[b])
        value += scores.image[b] + input.prior[static_cast<int64_t>(b)].item<double>();
    }
    scores.score = Head("holistic_head", maps, training);
    for (size_t b = 0; b < maps.size(); ++b) {
      const double most = *std::max_element(residuals[b].begin(), residuals[b].end());
      scores.score[b] = (scores.score[b] + most / 2) / 2;
    }
    return scores;
  }
  double Loss(const InctrlInput& input, const Row& labels) {
    const Scores scores = Run(input, true);
    return Focal(scores.score, labels) + Focal(scores.image, labels);
  }
  static double Focal(const Row& probabilities, const Row& labels) {
    double sum = 0;
    for (size_t b = 0; b < labels.size(); ++b) {
      const double own = labels[b] > 0 ? probabilities[b] : 1 - probabilities[b];
      sum -= (1 - own) * (1 - own) * std::log(own);
    }
    return sum / static_cast<double>(labels.size());
  }

 private:
  static Rows RowsOf(const at::Tensor& matrix) {
    Rows rows;
    for (int64_t r = 0; r < matrix.size(0); ++r) {
      Row& row = rows.emplace_back();
      for (int64_t c = 0; c < matrix.size(1); ++c) row.push_back(matrix[r][c].item<double>());
    }
    return rows;
  }
  Row Linear(const std::string& name, const Row& x) const {
    const Row& weight = values_.at(name + ".weight");
    const auto bias = values_.find(name + ".bias");
    Row y;
    for (size_t o = 0; o < weight.size() / x.size(); ++o) {
      y.push_back(bias == values_.end() ? 0 : bias->second[o]);
      for (size_t i = 0; i < x.size(); ++i) y.back() += weight[o * x.size() + i] * x[i];
    }
    return y;
  }
  static Row Relu(Row x) {
    for (double& value : x) value = std::max(value, 0.0);
    return x;
  }
  Row Adapt(const Row& x) const {
    return Relu(Linear("adapter.linear_2", Relu(Linear("adapter.linear_1", x))));
  }
  void Norm(const std::string& name, Rows& rows, bool training) const {
    for (size_t i = 0; i < rows[0].size(); ++i) {
      double mean = values_.at(name + ".mean")[i], variance = values_.at(name + ".variance")[i];
      if (training) {
        mean = variance = 0;
        const auto count = static_cast<double>(rows.size());
        for (const Row& row : rows) mean += row[i] / count;
        for (const Row& row : rows) variance += (row[i] - mean) * (row[i] - mean) / count;
      }
      for (Row& row : rows) {
        row[i] = (row[i] - mean) / std::sqrt(variance + 1e-5) * values_.at(name + ".weight")[i] +
                 values_.at(name + ".bias")[i];
      }
    }
  }
  Row Head(const std::string& head, Rows rows, bool training) const {
    for (const char* number : {"1", "2"}) {
      for (Row& row : rows) row = Relu(Linear(head + ".linear_" + number, row));
      Norm(head + ".norm_" + number, rows, training);
    }
    Row scores;
    for (const Row& row : rows)
      scores.push_back(1 / (1 + std::exp(-Linear(head + ".linear_3", row)[0])));
    return scores;
  }

  std::map<std::string, Row> values_;
};

}  // namespace hfwa::lab::train
