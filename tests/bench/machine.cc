#include "tests/bench/machine.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <limits>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "absl/strings/str_cat.h"

namespace hfwa::bench {
namespace {

double BestSeconds(int runs, const std::function<void()>& work) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    best = std::min(best, took.count());
  }
  return best;
}

std::string ProcessorModel() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown processor";
}

}  // namespace

std::string MachineName() {
  std::string name = absl::StrCat(ProcessorModel(), ", ", at::get_num_threads(), " threads");
  std::ifstream info("/proc/cpuinfo");
  const std::string text{std::istreambuf_iterator<char>(info), {}};
  for (const char* flag :
       {"amx_bf16", "amx_int8", "avx512_bf16", "avx512_vnni", "avx512f", "avx2"}) {
    if (text.find(absl::StrCat(" ", flag)) != std::string::npos) absl::StrAppend(&name, ", ", flag);
  }
  return name;
}

double MatrixRate(const kernels::Kernels& kernels) {
  constexpr int64_t kTokens = 577;
  double best = 0;
  for (const auto& [in, out] :
       {std::pair<int64_t, int64_t>(1024, 1024), {1024, 4096}, {4096, 1024}}) {
    const auto linear = kernels.PackLinear({at::rand({out, in}), at::rand({out})});
    const at::Tensor x = at::rand({kTokens, in}).to(kernels.compute_type());
    const double seconds = BestSeconds(8, [&] { linear->Apply(x); });
    best = std::max(best, 2.0 * static_cast<double>(kTokens * in * out) / seconds);
  }
  return best;
}

double MemoryRate() {
  constexpr int64_t kCount = 32 << 20;  // three arrays of 128 MiB: no cache holds them
  const at::Tensor b = at::ones({kCount}), c = at::ones({kCount});
  at::Tensor a = at::zeros({kCount});
  const double seconds = BestSeconds(5, [&] { at::add_out(a, b, c, 2.0); });
  return 3.0 * kCount * sizeof(float) / seconds;
}

}  // namespace hfwa::bench
