#pragma once

// Data sets as the paper's code lays them out, and plainer ones (training-and-data spec, section
// 4).

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace hfwa::lab {

// One image. Paths are relative to the set's folder, with '/', and were found to lie in it.
struct Item {
  std::string image;
  // Empty where the set names none: an anomalous item's defect is then somewhere, it is not known
  // where; a normal one has none.
  std::string mask;
  std::string class_name;
  std::string kind;  // of defect; "good" for none
  bool anomalous = false;
};

// Items in the order of the file, or sorted bytewise by kind and name.
struct ItemClass {
  std::string name;
  std::vector<Item> train;  // the normal ones serve as references
  std::vector<Item> test;   // what training and evaluation both read
};

// Something is wrong with a file of the set.
struct Problem {
  enum class Effect {
    kNote,     // the item is as usable as any
    kNoMask,   // the item is kept without its mask
    kLeftOut,  // the item is left out
  };
  std::string file;  // relative to the set's folder; or the class, where it is about that
  std::string what;
  Effect effect = Effect::kLeftOut;
};
// "FILE: WHAT (left out)".
std::string ToString(const Problem& problem);

struct DataSet {
  std::string root;
  std::string layout;  // how it was read, for people: "meta.json", "MVTec folders", ...
  std::vector<ItemClass> classes;
  std::vector<Problem> problems;
};

// Reads the first of these layouts that the folder has:
// - meta.json (spec 4.1);
// - MVTec's folders (spec 4.4), for several classes or, with train/ and test/ right below, one;
//   kinds "good" and "ok" are normal;
// - nominal/, local/ and global/: the simulated textile set, references from nominal 1-60, tests
//   nominal 501-600, local and global 1-100;
// - good/ and other folders of images, each a kind of defect, without masks: the first half of
//   good/ is `train`, the rest is tested.
// No picture is opened. What does not fit is in `problems`. NOT_FOUND if there is no such layout,
// INVALID_ARGUMENT if meta.json is not of its form, or no test image is left.
absl::StatusOr<DataSet> ReadDataSet(const std::string& root);

// The set as the text of a meta.json.
std::string ToMetaJson(const DataSet& set);

}  // namespace hfwa::lab
