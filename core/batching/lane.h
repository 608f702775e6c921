#pragma once

#include <string_view>

namespace hfwa::batching {

// kLive: a line waits for the answer. kBulk: many pictures that nobody waits for one by one.
// kRegister: reference images and banks.
enum class Lane { kLive = 0, kBulk = 1, kRegister = 2 };
inline constexpr int kLanes = 3;

constexpr std::string_view LaneName(Lane lane) {
  constexpr std::string_view kNames[kLanes] = {"live", "bulk", "register"};
  return kNames[static_cast<int>(lane)];
}

}  // namespace hfwa::batching
