#include "core/kernels/cuda/module_loader.h"

#include <dlfcn.h>

#include <filesystem>
#include <memory>
#include <system_error>

#include "core/kernels/graph.h"

namespace hfwa::kernels::cuda {
namespace {

constexpr char kModule[] = "libhfwa_cuda.so";
constexpr char kGraphModule[] = "libhfwa_cuda_graph.so";

struct Loaded {
  const Api* api = nullptr;
  std::string why;
};

void* Open(const char* name) {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) {
    const auto beside = program.parent_path().parent_path() / "lib" / name;
    if (void* module = dlopen(beside.c_str(), RTLD_NOW | RTLD_LOCAL)) return module;
    if (std::filesystem::exists(beside, error)) return nullptr;  // dlerror says why not this one
  }
  return dlopen(name, RTLD_NOW | RTLD_LOCAL);
}

Loaded Load() {
  void* const module = Open(kModule);
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

struct LoadedGraph {
  MakeGraphFunction make = nullptr;
  std::string why;
};

LoadedGraph LoadGraph() {
  void* const module = Open(kGraphModule);
  if (module == nullptr) {
    const char* reason = dlerror();
    return {nullptr, reason == nullptr ? kGraphModule : reason};
  }
  const auto make = reinterpret_cast<MakeGraphFunction>(dlsym(module, kGraphSymbol));
  return {make, make == nullptr ? std::string(kGraphModule) + " has no " + kGraphSymbol : ""};
}

}  // namespace

const Api* LoadModule(std::string* why) {
  static const Loaded loaded = Load();
  *why = loaded.why;
  return loaded.api;
}

MakeGraphFunction LoadGraphModule(std::string* why) {
  static const LoadedGraph loaded = LoadGraph();
  *why = loaded.why;
  return loaded.make;
}

}  // namespace hfwa::kernels::cuda

namespace hfwa::kernels {

std::unique_ptr<Graph> MakeGraph(at::Device device, std::string* why) {
  const auto make = cuda::LoadGraphModule(why);
  return std::unique_ptr<Graph>(make == nullptr ? nullptr : make(device.index()));
}

}  // namespace hfwa::kernels
