#include "lab/data/references.h"

#include <algorithm>
#include <map>
#include <random>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/file_system.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "lab/python_random.h"

namespace hfwa::lab {
namespace {

constexpr size_t kListBytesMax = 16U << 20;

// Uniform in 0..n-1. The standard library's distributions differ between implementations.
uint64_t Below(std::mt19937_64& random, uint64_t n) {
  const uint64_t rest = (UINT64_MAX % n + 1) % n;  // values beyond the last whole multiple of n
  uint64_t value = random();
  while (value > UINT64_MAX - rest) value = random();
  return value % n;
}

std::mt19937_64 GeneratorOf(uint32_t seed, const std::string& class_name) {
  const std::string hash = Sha256Hex(absl::StrCat(seed, " ", class_name));
  return std::mt19937_64(std::stoull(hash.substr(0, 16), nullptr, 16));
}

std::vector<int> NormalOnes(const ItemClass& of) {
  std::vector<int> indices;
  for (size_t i = 0; i < of.train.size(); ++i) {
    if (!of.train[i].anomalous) indices.push_back(static_cast<int>(i));
  }
  return indices;
}

std::vector<int> DrawByClass(const ItemClass& of, int shots, uint32_t seed) {
  std::vector<int> pool = NormalOnes(of);
  std::mt19937_64 random = GeneratorOf(seed, of.name);
  const size_t count = std::min(pool.size(), static_cast<size_t>(std::max(shots, 0)));
  for (size_t i = 0; i < count; ++i) std::swap(pool[i], pool[i + Below(random, pool.size() - i)]);
  pool.resize(count);
  return pool;
}

std::vector<int> DrawAsPython(const ItemClass& of, int shots, PythonRandom& random) {
  std::vector<int> pool = NormalOnes(of);
  if (static_cast<int>(pool.size()) <= shots) return pool;
  std::vector<int> drawn;
  for (const int index : random.Sample(static_cast<int>(pool.size()), shots)) {
    drawn.push_back(pool[static_cast<size_t>(index)]);
  }
  return drawn;
}

}  // namespace

absl::StatusOr<Sampling> ParseSampling(const std::string& name) {
  if (name == "class") return Sampling::kByClass;
  if (name == "python") return Sampling::kPython;
  return absl::InvalidArgumentError(
      absl::StrCat("sampling '", name, "' is neither class nor python"));
}

Draw DrawReferences(const DataSet& set, int shots, uint32_t seed, Sampling sampling) {
  PythonRandom python(seed);
  Draw draw;
  for (const ItemClass& of : set.classes) {
    draw.push_back(sampling == Sampling::kPython ? DrawAsPython(of, shots, python)
                                                 : DrawByClass(of, shots, seed));
  }
  return draw;
}

absl::StatusOr<Draw> ReadReferenceList(const DataSet& set, const std::string& path) {
  HFWA_ASSIGN_OR_RETURN(const std::string text, FileSystem::Real().Read(path, kListBytesMax));
  std::map<std::string, std::pair<size_t, int>> known;  // image -> class, index
  for (size_t c = 0; c < set.classes.size(); ++c) {
    for (const int i : NormalOnes(set.classes[c])) {
      known[set.classes[c].train[static_cast<size_t>(i)].image] = {c, i};
    }
  }
  Draw draw(set.classes.size());
  int number = 0;
  for (const auto line : absl::StrSplit(text, '\n')) {
    ++number;
    const std::string name(absl::StripAsciiWhitespace(line));
    if (name.empty() || name.front() == '#') continue;
    const auto found = known.find(name);
    if (found == known.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ":", number, ": not a normal image to train with, or named twice"));
    }
    draw[found->second.first].push_back(found->second.second);
    known.erase(found);
  }
  return draw;
}

}  // namespace hfwa::lab
