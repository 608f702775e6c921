#pragma once

#include <optional>
#include <string_view>

namespace hfwa::store {

// How a product's parts are judged; what each does is core/engine's matter. The numbers are kept in
// checksums on disk.
enum class Method { kHfwa = 0, kAnomalyDino = 1 };

// "hfwa", "anomaly-dino": in the files and for people; nullopt if it is neither.
std::string_view MethodName(Method method);
std::optional<Method> ParseMethod(std::string_view name);

// How many pictures of a reference the method's memory bank holds: one, or one an orientation.
constexpr int PicturesPerReference(Method method) { return method == Method::kAnomalyDino ? 8 : 1; }

}  // namespace hfwa::store
