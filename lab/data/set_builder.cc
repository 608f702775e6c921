#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/strings.h"
#include "lab/data/layouts.h"

namespace hfwa::lab::internal {
namespace {

namespace fs = std::filesystem;

bool IsPlainText(const std::string& text) {
  return IsValidUtf8(text) && !HasControlCharacter(text);
}

// Fit to be joined to a folder: says where a file lies below it and nothing else.
bool StaysBelow(const std::string& path) {
  for (const auto part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == "." || part == "..") return false;
  }
  return true;
}

// For messages: bytes that a terminal could act on are not repeated.
std::string Printable(const std::string& text) {
  return IsPlainText(text) ? text : "(a name with control characters or broken UTF-8)";
}

}  // namespace

absl::StatusOr<SetBuilder> SetBuilder::Create(const std::string& root, std::string layout) {
  std::error_code error;
  const fs::path canonical = fs::canonical(root, error);
  if (error || !fs::is_directory(canonical, error)) {
    return absl::NotFoundError(absl::StrCat(root, " is no folder"));
  }
  SetBuilder builder;
  builder.set_.root = root;
  builder.set_.layout = std::move(layout);
  builder.canonical_root_ = (canonical / "").string();
  return builder;
}

bool SetBuilder::StartClass(const std::string& name) {
  if (name.empty() || !IsPlainText(name)) {
    AddProblem(name, "is no name for a class");
    return false;
  }
  set_.classes.push_back({.name = name, .train = {}, .test = {}});
  return true;
}

std::string SetBuilder::Inspect(const std::string& file) const {
  if (!IsPlainText(file) || !StaysBelow(file)) return "is not a path below the set's folder";
  std::error_code error;
  const fs::path path = fs::canonical(fs::path(canonical_root_) / file, error);
  if (error) return "is missing";
  if (!absl::StartsWith(path.string(), canonical_root_)) return "links out of the set's folder";
  if (!fs::is_regular_file(path, error)) return "is not a file";
  if (fs::file_size(path, error) == 0) return "is empty";
  return "";
}

void SetBuilder::Add(Split split, Item item) {
  ItemClass& of = set_.classes.back();
  item.class_name = of.name;
  if (!IsPlainText(item.kind)) return AddProblem(item.image, "names no fit kind of defect");
  if (item.kind.empty()) item.kind = item.anomalous ? "defect" : "good";
  const std::string wrong = Inspect(item.image);
  if (!wrong.empty()) return AddProblem(item.image, wrong);
  if (split == Split::kTest && train_.count(item.image) > 0) {
    return AddProblem(item.image, "is both to train with and to test with");
  }
  if (!(split == Split::kTrain ? train_ : test_).insert(item.image).second) {
    return AddProblem(item.image, "is listed twice");
  }
  CheckMask(item);
  (split == Split::kTrain ? of.train : of.test).push_back(std::move(item));
}

void SetBuilder::CheckMask(Item& item) {
  if (item.mask.empty()) return;
  const std::string wrong = Inspect(item.mask);
  if (wrong.empty()) return;
  // A normal image needs none, so its absence is nobody's loss.
  const bool harmless = !item.anomalous && StaysBelow(item.mask);
  if (!harmless) {
    AddProblem(item.image, absl::StrCat("mask ", Printable(item.mask), " ", wrong),
               Problem::Effect::kNoMask);
  }
  item.mask.clear();
}

void SetBuilder::AddProblem(const std::string& file, std::string what, Problem::Effect effect) {
  set_.problems.push_back({Printable(file), std::move(what), effect});
}

absl::StatusOr<DataSet> SetBuilder::Finish() {
  size_t tests = 0;
  for (const ItemClass& of : set_.classes) {
    tests += of.test.size();
    size_t defects = 0, masks = 0;
    for (const Item& item : of.test) {
      defects += item.anomalous ? 1 : 0;
      masks += item.anomalous && !item.mask.empty() ? 1 : 0;
    }
    if (masks == defects) continue;
    if (masks == 0) {
      AddProblem(of.name, "has no masks", Problem::Effect::kNote);
      continue;
    }
    for (const Item& item : of.test) {
      if (item.anomalous && item.mask.empty()) {
        AddProblem(item.image, "shows a defect and has no mask", Problem::Effect::kNote);
      }
    }
  }
  if (tests == 0) {
    std::string message = absl::StrCat(set_.root, ": no test image in ", set_.layout);
    if (!set_.problems.empty()) absl::StrAppend(&message, "; ", ToString(set_.problems.front()));
    return absl::InvalidArgumentError(message);
  }
  return std::move(set_);
}

}  // namespace hfwa::lab::internal
