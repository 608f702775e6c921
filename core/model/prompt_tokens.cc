#include "core/model/prompts.h"

#include <ATen/ATen.h>

#include "core/base/status_macros.h"
#include "core/model/tokenizer.h"

namespace hfwa::model {
namespace {

absl::StatusOr<at::Tensor> TokenizeSide(const Tokenizer& tokenizer,
                                        const std::vector<std::vector<std::string>>& texts,
                                        int context_length) {
  const int64_t classes = static_cast<int64_t>(texts.size()),
                count = static_cast<int64_t>(texts.front().size());
  at::Tensor ids = at::zeros({classes, count, context_length}, at::kLong);
  auto values = ids.accessor<int64_t, 3>();
  for (int64_t m = 0; m < classes; ++m) {
    for (int64_t k = 0; k < count; ++k) {
      HFWA_ASSIGN_OR_RETURN(const auto row, tokenizer.EncodeRow(texts[m][k], context_length));
      for (size_t c = 0; c < row.size(); ++c) values[m][k][static_cast<int64_t>(c)] = row[c];
    }
  }
  return ids;
}

}  // namespace

absl::StatusOr<PromptTokens> TokenizePrompts(const ModelConfig& config, std::string_view merges) {
  HFWA_ASSIGN_OR_RETURN(const Tokenizer tokenizer,
                        Tokenizer::Create(merges, config.text->vocab_size));
  PromptTokens tokens;
  HFWA_ASSIGN_OR_RETURN(
      tokens.normal,
      TokenizeSide(tokenizer, PromptTexts(config.prompt, config.prompt.states_normal),
                   config.text->context_length));
  HFWA_ASSIGN_OR_RETURN(
      tokens.anomaly,
      TokenizeSide(tokenizer, PromptTexts(config.prompt, config.prompt.states_anomaly),
                   config.text->context_length));
  return tokens;
}

}  // namespace hfwa::model
