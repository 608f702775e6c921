#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/model/merges.h"
#include "core/model/tokenizer.h"
#include "lab/fixture.h"
#include "lab/parity.h"

namespace hfwa::lab {
namespace {

using Ids = std::vector<int64_t>;

// One row a kind of text, which fails with the first text of it that comes out differently.
void CheckCases(const model::Tokenizer& tokenizer, const nlohmann::json& cases, Report& report) {
  std::map<std::string, std::string> first_fault;
  std::map<std::string, int> counts;
  for (const auto& row : cases) {
    const auto kind = row.at("kind").get<std::string>(), text = row.at("text").get<std::string>();
    // The tokenizer does without ftfy, so the ids without its repairs are the right ones.
    const char* key = row.value("needs_ftfy", false) ? "ids_without_ftfy" : "ids";
    const auto ids = tokenizer.Encode(text);
    ++counts[kind];
    if ((!ids.ok() || *ids != row.at(key).get<Ids>()) && first_fault[kind].empty()) {
      first_fault[kind] = absl::StrCat("ids differ for '", text, "'");
    }
  }
  for (const auto& [kind, count] : counts) {
    report.Check(absl::StrCat(kind, " (", count, ")"), first_fault[kind].empty(),
                 first_fault[kind]);
  }
}

void CheckRows(const model::Tokenizer& tokenizer, const nlohmann::json& rows, Report& report) {
  int number = 0;
  for (const auto& row : rows) {
    const auto text = row.at("text").get<std::string>();
    const auto ids = tokenizer.EncodeRow(text, row.at("context_length").get<int>(),
                                         row.at("truncate").get<bool>());
    const bool equal =
        row.contains("error") ? !ids.ok() : ids.ok() && *ids == row.at("row").get<Ids>();
    report.Check(absl::StrCat("row ", number++), equal, absl::StrCat("differs for '", text, "'"));
  }
}

}  // namespace

absl::StatusOr<Report> TokenizerParity(const std::string& folder) {
  const std::filesystem::path path = folder;
  HFWA_ASSIGN_OR_RETURN(const nlohmann::json expected, ReadJson((path / "cases.json").string()));
  HFWA_ASSIGN_OR_RETURN(const std::string merges,
                        model::ReadMerges((path / "bpe_simple_vocab_16e6.txt.gz").string()));
  HFWA_ASSIGN_OR_RETURN(const model::Tokenizer tokenizer,
                        model::Tokenizer::Create(merges, expected.at("vocab_size").get<int>()));
  Report report;
  CheckCases(tokenizer, expected.at("cases"), report);
  CheckRows(tokenizer, expected.at("context_rows"), report);
  return report;
}

}  // namespace hfwa::lab
