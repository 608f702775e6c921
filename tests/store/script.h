#pragma once

// A script of calls with the state that each leaves behind: what the fault and power-loss loops
// run.

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/store/store.h"

namespace hfwa::store {

// Product id to the bytes of its references, in order.
using Model = std::map<std::string, std::vector<std::string>>;

struct Step {
  std::string name;
  // Repeating it answers as the first time: each step has a request id of its own.
  std::function<absl::Status(Store&)> run;
  std::function<void(Model&)> apply;
};

// Ten steps: every mutation, shared objects, a lease that is dropped.
std::vector<Step> MakeScript();

// Empty if the store and its folder hold `model` exactly: products, references in order, the
// objects' bytes, and no other object. Else what differs.
std::string Difference(Store& store, const std::string& directory, const Model& model);

}  // namespace hfwa::store
