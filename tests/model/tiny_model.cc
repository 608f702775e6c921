#include "tests/model/tiny_model.h"

#include <fstream>
#include <iterator>
#include <stdexcept>
#include <utility>

#include <ATen/Parallel.h>

#include "core/base/sha256.h"
#include "core/model/safetensors.h"

namespace hfwa::model {
namespace {

template <typename T>
T ValueOrThrow(absl::StatusOr<T> result) {
  if (!result.ok()) throw std::runtime_error(result.status().ToString());
  return *std::move(result);
}

std::map<std::string, at::Tensor> ReadTiny(const std::string& file) {
  return ValueOrThrow(ReadAllTensors(FixtureFolder("tiny") + "/" + file));
}

}  // namespace

std::string FixtureFolder(const std::string& name) {
  return std::string(HFWA_SOURCE_DIR) + "/tests/parity/fixtures/" + name;
}

ModelFiles TinyFiles() {
  // Threads that meet at barriers crawl on a busy machine, and a tiny model gains nothing from
  // them.
  at::set_num_threads(1);
  ModelFiles files;
  std::ifstream config(FixtureFolder("tiny") + "/config.json");
  files.config_json.assign(std::istreambuf_iterator<char>(config), {});
  files.config = ValueOrThrow(ParseModelConfig(files.config_json));
  for (const char* file : {"weights.safetensors", "learned.safetensors"}) {
    for (auto& [name, tensor] : ReadTiny(file)) files.weights.Set(name, tensor);
  }
  files.digest = Sha256Hex(files.config_json);
  return files;
}

HfwaOptions TinyOptions(Precision precision) {
  const auto inputs = TinyInputs();
  HfwaOptions options;
  options.precision = precision;
  options.prompt_tokens = {inputs.at("prompt_tokens_normal"), inputs.at("prompt_tokens_anomaly")};
  return options;
}

std::map<std::string, at::Tensor> TinyInputs() { return ReadTiny("inputs.safetensors"); }

}  // namespace hfwa::model
