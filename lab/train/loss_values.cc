#include "lab/train/loss_values.h"

#include "absl/strings/str_format.h"

namespace hfwa::lab::train {

std::string ToText(const LossValues& losses, const std::vector<std::string>& names, int decimals) {
  std::string text = absl::StrFormat("loss %.*f (", decimals, losses.total);
  for (size_t i = 0; i < losses.parts.size(); ++i) {
    absl::StrAppendFormat(&text, "%s%s %.4f", i > 0 ? " " : "", names[i], losses.parts[i]);
  }
  return text + ")";
}

}  // namespace hfwa::lab::train
