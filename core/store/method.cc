#include "core/store/method.h"

namespace hfwa::store {

std::string_view MethodName(Method method) {
  return method == Method::kAnomalyDino ? "anomaly-dino" : "hfwa";
}

std::optional<Method> ParseMethod(std::string_view name) {
  for (const Method method : {Method::kHfwa, Method::kAnomalyDino}) {
    if (name == MethodName(method)) return method;
  }
  return std::nullopt;
}

}  // namespace hfwa::store
