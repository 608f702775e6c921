#pragma once

// The layouts behind ReadDataSet. Internal to lab/data.

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "lab/data/data_set.h"

namespace hfwa::lab::internal {

// Puts items into a set, each looked at first: where its files lie and whether they are there.
class SetBuilder {
 public:
  // `root` must be a folder.
  static absl::StatusOr<SetBuilder> Create(const std::string& root, std::string layout);

  // A new class; empty, and a problem, if the name is no fit one.
  bool StartClass(const std::string& name);
  enum class Split { kTrain, kTest };
  // Into the class started last.
  void Add(Split split, Item item);
  void AddProblem(const std::string& file, std::string what,
                  Problem::Effect effect = Problem::Effect::kLeftOut);

  // INVALID_ARGUMENT if no test image is left.
  absl::StatusOr<DataSet> Finish();

 private:
  SetBuilder() = default;
  // What is wrong with a file of the set; empty if it can be opened.
  std::string Inspect(const std::string& file) const;
  void CheckMask(Item& item);

  DataSet set_;
  std::string canonical_root_;  // with a '/' at its end
  std::set<std::string> train_;
  std::set<std::string> test_;
};

// Folders and image files right below `folder`, sorted bytewise; hidden ones are passed over.
std::vector<std::string> ListFolders(const std::string& folder);
std::vector<std::string> ListImages(const std::string& folder);
bool IsFolder(const std::string& path);

bool HasMetaJson(const std::string& root);
absl::StatusOr<DataSet> ReadMetaJson(const std::string& root);
bool HasMvtecFolders(const std::string& root);
absl::StatusOr<DataSet> ReadMvtecFolders(const std::string& root);
bool HasTextile(const std::string& root);
absl::StatusOr<DataSet> ReadTextile(const std::string& root);
bool HasGoodFolder(const std::string& root);
absl::StatusOr<DataSet> ReadGoodFolder(const std::string& root);

}  // namespace hfwa::lab::internal
