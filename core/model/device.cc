#include "core/model/device.h"

#include <charconv>
#include <string>

#include <dlfcn.h>

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/model/torch_errors.h"

namespace hfwa::model {
namespace {

constexpr char kCudaLibrary[] = "libtorch_cuda.so";

// The folder of libtorch_cpu.so with a slash, empty if the loader does not say.
std::string LibTorchFolder() {
  Dl_info info;
  if (dladdr(reinterpret_cast<const void*>(&at::get_num_threads), &info) == 0 ||
      info.dli_fname == nullptr) {
    return "";
  }
  const std::string path = info.dli_fname;
  return path.substr(0, path.rfind('/') + 1);
}

absl::Status LoadCuda() {
  // Registers its kernels and hooks when loaded; stays for the life of the program.
  if (dlopen((LibTorchFolder() + kCudaLibrary).c_str(), RTLD_NOW | RTLD_GLOBAL) != nullptr ||
      dlopen(kCudaLibrary, RTLD_NOW | RTLD_GLOBAL) != nullptr) {
    return absl::OkStatus();
  }
  const char* reason = dlerror();
  return absl::UnavailableError(absl::StrCat("CUDA needs LibTorch's CUDA library: ",
                                             reason == nullptr ? kCudaLibrary : reason));
}

absl::StatusOr<int> DeviceIndex(std::string_view name) {
  constexpr std::string_view kPrefix = "cuda:";
  if (name == "cuda") return 0;
  int index = -1;
  if (name.substr(0, kPrefix.size()) == kPrefix) {
    const auto [end, error] =
        std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), index);
    if (error != std::errc() || end != name.data() + name.size()) index = -1;
  }
  if (index < 0 || index > 127) {
    return absl::InvalidArgumentError(
        absl::StrCat("device '", ToAbsl(name), "' is none of cpu, cuda, cuda:N"));
  }
  return index;
}

}  // namespace

absl::StatusOr<at::Device> OpenDevice(std::string_view name) {
  if (name == "cpu") return at::Device(at::kCPU);
  HFWA_ASSIGN_OR_RETURN(const int index, DeviceIndex(name));
  return CatchTorchErrors([&]() -> absl::StatusOr<at::Device> {
    // Before anything asks LibTorch for CUDA: it remembers the first answer.
    HFWA_RETURN_IF_ERROR(LoadCuda());
    if (!at::hasCUDA()) return absl::UnavailableError("no CUDA driver or no GPU on this machine");
    const int count = static_cast<unsigned char>(at::detail::getCUDAHooks().deviceCount());
    if (index >= count) {
      return absl::UnavailableError(absl::StrCat(
          "device '", ToAbsl(name), "' is not there: this machine has ", count, " GPU"));
    }
    return at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(index));
  });
}

}  // namespace hfwa::model
