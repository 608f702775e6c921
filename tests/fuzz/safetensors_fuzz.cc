// SafetensorsFile on arbitrary bytes: what it accepts must be readable and say the truth.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include <ATen/ATen.h>

#include "core/model/safetensors.h"

namespace {

void Check(bool promise) {
  if (!promise) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto file = hfwa::model::SafetensorsFile::Parse(bytes, "input");
  if (!file.ok()) {
    Check(file.status().message().substr(0, 5) == "input");
    return 0;
  }
  size_t total = 0;
  for (const auto& [name, view] : file->tensors()) {
    Check(view.bytes.empty() || (view.bytes.data() >= bytes.data() &&
                                 view.bytes.data() + view.bytes.size() <= bytes.data() + size));
    total += view.bytes.size();
    const auto tensor = file->Read(name);
    Check(tensor.ok());
    Check(tensor->nbytes() == view.bytes.size());
    Check(file->ReadFp32(name).ok());
  }
  Check(total <= size);
  return 0;
}
