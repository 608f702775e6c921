#include "core/bank/bank.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>
#include <vector>

#include "core/base/status_macros.h"

namespace hfwa::bank {

absl::StatusOr<std::shared_ptr<const Bank>> Bank::Create(
    int references, const kernels::Kernels& kernels,
    const std::function<absl::StatusOr<at::Tensor>(int)>& tokens_of) {
  if (references < 1) return absl::InvalidArgumentError("a bank needs at least one reference");
  try {
    model::PackedBank bank;
    std::vector<int64_t> shape;
    for (int k = 0; k < references; ++k) {
      HFWA_ASSIGN_OR_RETURN(const at::Tensor tokens, tokens_of(k));
      if (k == 0) {
        shape = tokens.sizes().vec();
        bank = model::PackedBank::Make(kernels, shape[0], references * shape[1], shape[2]);
      }
      if (tokens.sizes() != shape)
        return absl::InvalidArgumentError("references of one bank must have one shape");
      for (size_t level = 0; level < bank.levels.size(); ++level)
        bank.levels[level]->Put(k * shape[1], tokens[static_cast<int64_t>(level)]);
    }
    return std::shared_ptr<const Bank>(new Bank(std::move(bank), references));
  } catch (const c10::Error& e) {
    return absl::ResourceExhaustedError(e.what_without_backtrace());
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("no memory for the bank");
  }
}

int64_t Bank::bytes() const {
  int64_t sum = 0;
  for (const auto& level : tokens_.levels) sum += level->bytes();
  return sum;
}

at::Tensor Bank::ReferenceTokens(int k) const {
  std::vector<at::Tensor> tokens;
  tokens.reserve(tokens_.levels.size());
  for (const auto& level : tokens_.levels) tokens.push_back(level->Get(k * patches(), patches()));
  return at::stack(tokens);
}

at::Tensor Bank::MatchRange(const at::Tensor& tokens, int first, int count) const {
  return model::MatchTokens(tokens.unsqueeze(0), tokens_, first * patches(), count * patches())
      .squeeze(0);
}

at::Tensor Bank::Match(const at::Tensor& tokens) const {
  return MatchRange(tokens, 0, references_);
}

void Bank::AddMatches(const at::Tensor& tokens, std::vector<kernels::RowMatch>& matches) const {
  for (size_t level = 0; level < tokens_.levels.size(); ++level) {
    matches.push_back(
        {tokens[static_cast<int64_t>(level)], tokens_.levels[level].get(), 0, tokens_.rows});
  }
}

at::Tensor Bank::MatchSelf(int k, int radius) const {
  const at::Tensor tokens = ReferenceTokens(k);
  const int64_t length = tokens.size(1);
  const auto grid = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(length))));
  // On a small grid every token must keep some others.
  const int64_t reach = std::min<int64_t>(radius, std::max<int64_t>(0, (grid - 2) / 2));
  const at::Tensor index = at::arange(length, tokens.options().dtype(at::kLong));
  const auto near = [&](const at::Tensor& place) {
    return (place.unsqueeze(0) - place.unsqueeze(1)).abs() <= reach;
  };
  const at::Tensor excluded =
      near(index.div(grid, "floor")).logical_and(near(index.remainder(grid)));
  const at::Tensor cosines = at::matmul(tokens, tokens.transpose(1, 2)).masked_fill_(excluded, -1);
  return (1 - std::get<0>(cosines.max(2))).view({tokens.size(0), grid, grid});
}

}  // namespace hfwa::bank
