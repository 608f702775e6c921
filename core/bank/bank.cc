#include "core/bank/bank.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "core/base/status_macros.h"
#include "core/model/maps.h"

namespace hfwa::bank {

absl::StatusOr<std::shared_ptr<const Bank>> Bank::Create(
    int references, const std::function<absl::StatusOr<at::Tensor>(int)>& tokens_of) {
  if (references < 1) return absl::InvalidArgumentError("a bank needs at least one reference");
  try {
    at::Tensor all;
    int64_t length = 0;
    for (int k = 0; k < references; ++k) {
      HFWA_ASSIGN_OR_RETURN(const at::Tensor tokens, tokens_of(k));
      if (k == 0) {
        length = tokens.size(1);
        all = at::empty({tokens.size(0), references * length, tokens.size(2)}, tokens.options());
      }
      at::Tensor rows = all.narrow(1, k * length, length);
      if (tokens.sizes() != rows.sizes()) {
        return absl::InvalidArgumentError("references of one bank must have one shape");
      }
      rows.copy_(tokens);
    }
    return std::shared_ptr<const Bank>(new Bank(std::move(all), references));
  } catch (const c10::Error& e) {
    return absl::ResourceExhaustedError(e.what_without_backtrace());
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("no memory for the bank");
  }
}

at::Tensor Bank::ReferenceTokens(int k) const {
  const int64_t length = tokens_.size(1) / references_;
  return tokens_.narrow(1, k * length, length);
}

at::Tensor Bank::MatchRange(const at::Tensor& tokens, int first, int count) const {
  const int64_t length = tokens_.size(1) / references_;
  return model::MatchTokens(tokens.unsqueeze(0), tokens_.narrow(1, first * length, count * length))
      .squeeze(0);
}

at::Tensor Bank::Match(const at::Tensor& tokens) const {
  at::Tensor smallest = MatchRange(tokens, 0, std::min(kBlock, references_));
  for (int k = kBlock; k < references_; k += kBlock) {
    smallest = at::minimum(smallest, MatchRange(tokens, k, std::min(kBlock, references_ - k)));
  }
  return smallest;
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
