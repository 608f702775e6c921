#include "core/bank/bank.h"

#include <ATen/ATen.h>

#include <algorithm>
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

}  // namespace hfwa::bank
