#include "core/bank/bank.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <tuple>
#include <utility>
#include <vector>

#include "core/bank/coreset.h"
#include "core/base/status_macros.h"

namespace hfwa::bank {

namespace {

// Part [first, end) of a level's ascending rows.
struct Part {
  size_t first;
  size_t end;
};
Part PartOf(const std::vector<int64_t>& rows, int64_t first, int64_t end) {
  const auto at = [&](int64_t row) {
    return static_cast<size_t>(std::lower_bound(rows.begin(), rows.end(), row) - rows.begin());
  };
  return {at(first), at(end)};
}

absl::Status CheckSelection(const Bank::Selection& selection, int64_t levels, int64_t rows) {
  bool fits = static_cast<int64_t>(selection.size()) == levels && !selection[0].empty();
  for (const auto& level : selection) {
    fits = fits && level.size() == selection[0].size() && level.front() >= 0 &&
           level.back() < rows &&
           std::adjacent_find(level.begin(), level.end(), std::greater_equal<>()) == level.end();
  }
  return fits ? absl::OkStatus() : absl::InvalidArgumentError("the selection is not of this bank");
}

// Reference k's selected tokens into a level's rows.
void PutSelected(kernels::Rows& level, const at::Tensor& tokens,
                 const std::vector<int64_t>& selected, int k) {
  const int64_t patches = tokens.size(0);
  const Part part = PartOf(selected, k * patches, (k + 1) * patches);
  if (part.first == part.end) return;
  const at::Tensor places =
      at::tensor(at::ArrayRef<int64_t>(selected.data() + part.first, part.end - part.first)) -
      k * patches;
  level.Put(static_cast<int64_t>(part.first), tokens.index_select(0, places.to(tokens.device())));
}

}  // namespace

at::Tensor WindowMeans(const at::Tensor& distances, int side) {
  const int64_t grid = distances.size(-1);
  const int64_t width = std::min<int64_t>(side, grid);
  if (width == 1) return distances;
  const at::Tensor means =
      at::avg_pool2d(distances.reshape({-1, 1, grid, grid}), {width, width}, {1, 1});
  const int64_t before = (width - 1) / 2, after = width - 1 - before;
  return at::replication_pad2d(means, {before, after, before, after}).view_as(distances);
}

Bank::Bank(std::shared_ptr<const model::PackedBank> tokens, int references, int64_t patches,
           Selection selection, std::vector<float> level_weights, at::Device device)
    : tokens_(std::move(tokens)),
      references_(references),
      patches_(patches),
      selection_(std::move(selection)),
      level_weights_(std::move(level_weights)),
      device_(device) {
  const auto levels = static_cast<int64_t>(tokens_->levels.size());
  at::Tensor weights = at::zeros({static_cast<int64_t>(kWindows.size()), levels, 1, 1});
  if (level_weights_.empty()) {
    weights[0].fill_(1);
  } else {
    const at::Tensor given = at::tensor(level_weights_).view({-1, levels, 1, 1});
    weights.narrow(0, 0, given.size(0)).copy_(given);
    windows_ = 1;
    for (size_t i = 1; i < kWindows.size(); ++i) {
      if (weights[static_cast<int64_t>(i)].any().item<bool>()) windows_ = i + 1;
    }
  }
  weights_ = weights.to(device);
}

absl::StatusOr<std::shared_ptr<const Bank>> Bank::Create(
    int references, const kernels::Kernels& kernels,
    const std::function<absl::StatusOr<at::Tensor>(int)>& tokens_of, const Selection& selection,
    absl::Span<const float> level_weights) {
  if (references < 1) return absl::InvalidArgumentError("a bank needs at least one reference");
  try {
    model::PackedBank bank;
    std::vector<int64_t> shape;
    for (int k = 0; k < references; ++k) {
      HFWA_ASSIGN_OR_RETURN(const at::Tensor tokens, tokens_of(k));
      if (k == 0) {
        shape = tokens.sizes().vec();
        if (!level_weights.empty() && static_cast<int64_t>(level_weights.size()) != shape[0])
          return absl::InvalidArgumentError("a bank needs a weight for each level");
        const int64_t rows = references * shape[1];
        if (!selection.empty()) {
          HFWA_RETURN_IF_ERROR(CheckSelection(selection, shape[0], rows));
        }
        const int64_t kept =
            selection.empty() ? rows : static_cast<int64_t>(selection.front().size());
        bank = model::PackedBank::Make(kernels, shape[0], kept, shape[2]);
      }
      if (tokens.sizes() != shape)
        return absl::InvalidArgumentError("references of one bank must have one shape");
      for (size_t level = 0; level < bank.levels.size(); ++level) {
        const at::Tensor own = tokens[static_cast<int64_t>(level)];
        if (selection.empty()) {
          bank.levels[level]->Put(k * shape[1], own);
        } else {
          PutSelected(*bank.levels[level], own, selection[level], k);
        }
      }
    }
    return std::shared_ptr<const Bank>(
        new Bank(std::make_shared<const model::PackedBank>(std::move(bank)), references, shape[1],
                 selection, {level_weights.begin(), level_weights.end()}, kernels.device()));
  } catch (const c10::Error& e) {
    return absl::ResourceExhaustedError(e.what_without_backtrace());
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("no memory for the bank");
  }
}

Bank::Selection Bank::Coreset(double ratio, Span left_out) const {
  const int64_t gap = left_out.first * patches_, width = left_out.count * patches_;
  Selection selection;
  for (const auto& level : tokens_->levels) {
    at::Tensor rows = level->Get(0, tokens_->rows).cpu();
    if (width > 0) {
      rows = at::cat(
          {rows.narrow(0, 0, gap), rows.narrow(0, gap + width, rows.size(0) - gap - width)});
    }
    auto chosen = bank::Coreset(rows, references_ - left_out.count, ratio);
    for (int64_t& row : chosen) row += row >= gap ? width : 0;
    selection.push_back(std::move(chosen));
  }
  return selection;
}

absl::StatusOr<std::shared_ptr<const Bank>> Bank::Keep(const kernels::Kernels& kernels,
                                                       const Selection& selection) const {
  return Create(
      references_, kernels, [this](int k) { return ReferenceTokens(k); }, selection,
      level_weights_);
}

std::shared_ptr<const Bank> Bank::WithLevelWeights(std::vector<float> level_weights) const {
  return std::shared_ptr<const Bank>(
      new Bank(tokens_, references_, patches_, selection_, std::move(level_weights), device_));
}

int64_t Bank::bytes() const {
  int64_t sum = 0;
  for (const auto& level : tokens_->levels) sum += level->bytes();
  return sum;
}

at::Tensor Bank::ReferenceTokens(int k) const {
  std::vector<at::Tensor> tokens;
  tokens.reserve(tokens_->levels.size());
  for (const auto& level : tokens_->levels) tokens.push_back(level->Get(k * patches_, patches_));
  return at::stack(tokens);
}

Bank::Range Bank::RangeOf(size_t level, int first, int count) const {
  const int64_t begin = first * patches_, end = (first + count) * patches_;
  if (selection_.empty()) return {begin, end - begin};
  const Part part = PartOf(selection_[level], begin, end);
  return {static_cast<int64_t>(part.first), static_cast<int64_t>(part.end - part.first)};
}

at::Tensor Bank::MatchRange(const at::Tensor& tokens, int first, int count) const {
  if (selection_.empty()) {
    at::Tensor few =
        model::MatchTokens(tokens.unsqueeze(0), *tokens_, first * patches_, count * patches_)
            .squeeze(0);
    Weigh(few);
    return few;
  }
  const auto grid = std::lround(std::sqrt(static_cast<double>(tokens.size(1))));
  std::vector<at::Tensor> levels;
  for (size_t level = 0; level < tokens_->levels.size(); ++level) {
    const Range range = RangeOf(level, first, count);
    const at::Tensor own = tokens[static_cast<int64_t>(level)].clone();
    const at::Tensor cosines = range.count == 0
                                   ? at::full({own.size(0)}, -1, own.options())
                                   : tokens_->levels[level]->Maximum(own, range.first, range.count);
    levels.push_back((1 - cosines).view({grid, grid}));
  }
  at::Tensor few = at::stack(levels);
  Weigh(few);
  return few;
}

at::Tensor Bank::Match(const at::Tensor& tokens) const {
  return MatchRange(tokens, 0, references_);
}

void Bank::AddMatches(const at::Tensor& tokens, std::vector<kernels::RowMatch>& matches) const {
  for (size_t level = 0; level < tokens_->levels.size(); ++level) {
    matches.push_back(
        {tokens[static_cast<int64_t>(level)], tokens_->levels[level].get(), 0, tokens_->rows});
  }
}

void Bank::Weigh(const at::Tensor& distances) const {
  const Bank* const self = this;
  Weigh({&self, 1}, distances.unsqueeze(0));
}

void Bank::Weigh(absl::Span<const Bank* const> banks, const at::Tensor& distances) {
  size_t windows = 0;
  std::vector<at::Tensor> each;
  for (const Bank* bank : banks) {
    windows = std::max(windows, bank->windows_);
    each.push_back(bank->weights_);
  }
  if (windows == 0) return;
  const at::Tensor weights = at::stack(each, 1);  // [kWindows, b, n, 1, 1]
  const at::Tensor plain = windows > 1 ? distances.clone() : at::Tensor();
  distances.mul_(weights[0]);
  for (size_t i = 1; i < windows; ++i) {
    distances.addcmul_(WindowMeans(plain, kWindows[i]), weights[static_cast<int64_t>(i)]);
  }
}

at::Tensor Bank::MatchSelf(const at::Tensor& tokens, int k, int radius) const {
  const int64_t length = tokens.size(1);
  const auto grid = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(length))));
  // On a small grid every token must keep some others.
  const int64_t reach = std::min<int64_t>(radius, std::max<int64_t>(0, (grid - 2) / 2));
  const at::Tensor index = at::arange(length, tokens.options().dtype(at::kLong));
  std::vector<at::Tensor> levels;
  for (size_t level = 0; level < tokens_->levels.size(); ++level) {
    const Range range = RangeOf(level, k, 1);
    at::Tensor kept = index;  // the patches that its rows are of
    if (!selection_.empty()) {
      kept = at::tensor(at::ArrayRef<int64_t>(selection_[level].data() + range.first,
                                              static_cast<size_t>(range.count)))
                 .to(tokens.device()) -
             k * patches_;
    }
    const auto near = [&](const at::Tensor& place, const at::Tensor& other) {
      return (place.unsqueeze(1) - other.unsqueeze(0)).abs() <= reach;
    };
    const at::Tensor excluded = near(index.div(grid, "floor"), kept.div(grid, "floor"))
                                    .logical_and(near(index.remainder(grid), kept.remainder(grid)));
    const at::Tensor cosines = at::matmul(tokens[static_cast<int64_t>(level)],
                                          tokens_->levels[level]->Get(range.first, range.count).t())
                                   .masked_fill_(excluded, -1);
    const at::Tensor nearest = 1 - std::get<0>(cosines.max(1));
    levels.push_back(nearest.masked_fill(excluded.all(1), 0).view({grid, grid}));
  }
  at::Tensor few = at::stack(levels);
  Weigh(few);
  return few;
}

}  // namespace hfwa::bank
