// hfwa-make-seeded-model: writes a model directory with seeded weights, for tests and
// demonstrations.

#include <cstdint>
#include <iostream>
#include <string>

#include <CLI/CLI.hpp>

#include "core/model/mapped_file.h"
#include "core/model/merges.h"
#include "lab/seeded_model.h"

namespace {

constexpr size_t kMaxConfigBytes = 4 << 20;

int Fail(const absl::Status& status) {
  std::cerr << "hfwa-make-seeded-model: " << status.message() << "\n";
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Writes a model directory with seeded weights", "hfwa-make-seeded-model");
  std::string config_path, merges_path, directory;
  uint64_t seed = 0;
  app.add_option("config", config_path, "Configuration (config.json)")->required();
  app.add_option("merges", merges_path, "Merge list of the tokenizer, plain or packed")->required();
  app.add_option("seed", seed, "Seed of every weight")->required();
  app.add_option("out", directory, "Directory to write")->required();
  CLI11_PARSE(app, argc, argv);
  const auto config = hfwa::model::ReadSmallFile(config_path, kMaxConfigBytes);
  if (!config.ok()) return Fail(config.status());
  const auto merges = hfwa::model::ReadMerges(merges_path);
  if (!merges.ok()) return Fail(merges.status());
  const absl::Status written = hfwa::lab::WriteSeededModel(*config, seed, *merges, directory);
  return written.ok() ? 0 : Fail(written);
}
