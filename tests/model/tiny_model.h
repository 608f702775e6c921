#pragma once

// A model of five blocks whose weights and expected numbers are stored (tests/parity/fixtures).

#include <map>
#include <string>

#include <ATen/core/Tensor.h>

#include "core/model/hfwa.h"

namespace hfwa::model {

// Folder of a fixture: "tiny" or "variants/NAME".
std::string FixtureFolder(const std::string& name);

// The tiny model's files, as ReadModelDirectory would give them but for merges: its vocabulary has
// no tokenizer, so TinyOptions() carries the ids. Sets LibTorch to one thread.
ModelFiles TinyFiles();
HfwaOptions TinyOptions(Precision precision = Precision::kFp32);

// "images" [3, 3, 56, 56], "references" [4, 3, 56, 56], "class_index".
std::map<std::string, at::Tensor> TinyInputs();

}  // namespace hfwa::model
