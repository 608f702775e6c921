#include "core/kernels/cuda/module_loader.h"

#include <dlfcn.h>

#include <filesystem>
#include <system_error>

namespace hfwa::kernels::cuda {
namespace {

constexpr char kModule[] = "libhfwa_cuda.so";

struct Loaded {
  const Api* api = nullptr;
  std::string why;
};

void* Open() {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) {
    const auto beside = program.parent_path().parent_path() / "lib" / kModule;
    if (void* module = dlopen(beside.c_str(), RTLD_NOW | RTLD_LOCAL)) return module;
    if (std::filesystem::exists(beside, error)) return nullptr;  // dlerror says why not this one
  }
  return dlopen(kModule, RTLD_NOW | RTLD_LOCAL);
}

Loaded Load() {
  void* const module = Open();
  if (module == nullptr) {
    const char* reason = dlerror();
    return {nullptr, reason == nullptr ? kModule : reason};
  }
  const auto get = reinterpret_cast<GetApi>(dlsym(module, kApiSymbol));
  const Api* const api = get == nullptr ? nullptr : get();
  if (api == nullptr || api->version != kApiVersion) {
    return {nullptr, std::string(kModule) + " is of another version than this program"};
  }
  return {api, ""};
}

}  // namespace

const Api* LoadModule(std::string* why) {
  static const Loaded loaded = Load();
  *why = loaded.why;
  return loaded.api;
}

}  // namespace hfwa::kernels::cuda
