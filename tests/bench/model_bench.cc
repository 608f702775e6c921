// hfwa_model_bench [--rates | CONFIG.json]: times the kernels at the shapes of a model
// (ViT-L/14@336 by default) and the stages of that model with seeded weights, after the rates that
// this machine reaches now; --rates prints those alone. google-benchmark's flags apply. Threads:
// OMP_NUM_THREADS.

#include <benchmark/benchmark.h>
#include <malloc.h>
#include <sys/resource.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <string_view>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "core/bank/bank.h"
#include "core/engine/maps.h"
#include "core/kernels/cpu/cpu_kernels.h"
#include "core/kernels/kernels.h"
#include "core/kernels/windows.h"
#include "core/model/hfwa.h"
#include "lab/seeded_model.h"
#include "tests/bench/any_prompts.h"
#include "tests/bench/machine.h"
#include "tests/bench/work.h"

namespace hfwa::bench {
namespace {

constexpr int kReferences = 4;

// The shapes of a configuration.
struct Shapes {
  explicit Shapes(const model::ModelConfig& c)
      : tokens(c.vision.patches() + 1),
        patches(c.vision.patches()),
        width(c.vision.width),
        heads(c.vision.heads),
        embed(c.embed_dim) {}
  int64_t tokens, patches, width, heads, embed;
};

// Rates that the operation reaches, and how it stands to the machine's limits: flop/byte tells
// which of the two is its own.
void Count(benchmark::State& state, const Work& work) {
  const auto rate = benchmark::Counter::kIsIterationInvariantRate;
  state.counters["GFLOP/s"] = benchmark::Counter(work.flops * 1e-9, rate);
  state.counters["GB/s"] = benchmark::Counter(work.bytes * 1e-9, rate);
  state.counters["flop/byte"] = work.flops / work.bytes;
}

// Pages that the system hands out or takes away while the benchmark lasts: none where memory is
// used again.
int64_t PageFaults() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt + usage.ru_majflt;
}

Widths WidthsOf(const kernels::Kernels& kernels, bool int8) {
  const double bytes = kernels.compute_type() == at::kBFloat16 ? 2 : 4;
  return {.activation = bytes, .weight = int8 ? 1 : bytes};
}

benchmark::internal::Benchmark* Register(const std::string& name,
                                         const std::function<void(benchmark::State&)>& body) {
  return benchmark::RegisterBenchmark(name.c_str(), body)
      ->Unit(benchmark::kMillisecond)
      ->UseRealTime();
}

void RegisterLinear(const std::string& name, const std::shared_ptr<const kernels::Kernels>& kernels,
                    Widths widths, int64_t tokens, int64_t in, int64_t out) {
  Register(name, [=](benchmark::State& state) {
    const auto linear = kernels->PackLinear({at::rand({out, in}), at::rand({out})});
    const at::Tensor x = at::rand({tokens, in}).to(kernels->compute_type());
    for (auto _ : state) benchmark::DoNotOptimize(linear->Apply(x));
    Count(state, LinearWork(tokens, in, out, widths));
  });
}

void RegisterKernels(const std::string& prefix,
                     const std::shared_ptr<const kernels::Kernels>& kernels, Widths widths,
                     const model::ModelConfig& config) {
  const Shapes s(config);
  RegisterLinear(prefix + "linear/in_proj", kernels, widths, s.tokens, s.width, 3 * s.width);
  RegisterLinear(prefix + "linear/out_proj", kernels, widths, s.tokens, s.width, s.width);
  RegisterLinear(prefix + "linear/c_fc", kernels, widths, s.tokens, s.width, 4 * s.width);
  RegisterLinear(prefix + "linear/c_proj", kernels, widths, s.tokens, 4 * s.width, s.width);
  Register(prefix + "mlp", [=](benchmark::State& state) {
    const auto mlp = kernels->PackMlp({{at::rand({4 * s.width, s.width}), at::rand({4 * s.width})},
                                       {at::rand({s.width, 4 * s.width}), at::rand({s.width})}},
                                      kernels::Activation::kQuickGelu);
    const at::Tensor x = at::rand({1, s.tokens, s.width}).to(kernels->compute_type());
    for (auto _ : state) benchmark::DoNotOptimize(mlp->Apply(x));
    Work work = LinearWork(s.tokens, s.width, 4 * s.width, widths);
    work += LinearWork(s.tokens, 4 * s.width, s.width, widths);
    Count(state, work);
  });
  Register(prefix + "attention", [=](benchmark::State& state) {
    const at::Tensor qkv = at::randn({1, s.tokens, 3 * s.width}).to(kernels->compute_type());
    const int heads = static_cast<int>(s.heads);
    for (auto _ : state) benchmark::DoNotOptimize(kernels->Attention(qkv, heads, false));
    Count(state, AttentionWork(1, s.tokens, s.width, 3, widths));
  });
  Register(prefix + "layer_norm", [=](benchmark::State& state) {
    const at::Tensor x = at::randn({1, s.tokens, s.width});
    const kernels::Norm norm{at::ones({s.width}), at::zeros({s.width}), 1e-5};
    at::Tensor y;
    for (auto _ : state) benchmark::DoNotOptimize(y = kernels->LayerNormForLinear(x, norm));
    Count(state, {.flops = 0, .bytes = static_cast<double>(x.nbytes() + y.nbytes())});
  });
  Register(prefix + "row_maximum", [=](benchmark::State& state) {
    const at::Tensor tokens = at::randn({s.patches, s.embed});
    const at::Tensor rows = at::randn({kReferences * s.patches, s.embed});
    const auto packed = kernels->MakeRows(rows.size(0), s.embed);
    packed->Put(0, rows);
    for (auto _ : state) benchmark::DoNotOptimize(packed->Maximum(tokens, 0, rows.size(0)));
    const double values = static_cast<double>(tokens.numel() + rows.numel());
    Count(state, {.flops = 2.0 * static_cast<double>(tokens.numel() * rows.size(0)),
                  .bytes = widths.activation * values});
  });
  if (!config.has_language() || config.adapter.type != model::AdapterConfig::Type::kFwa) return;
  Register(prefix + "windows", [=](benchmark::State& state) {
    kernels::WindowAttention a;
    a.grid = config.vision.grid();
    a.window = config.effective_window();
    a.order = kernels::WindowOrder(a.grid, a.window, 0);
    a.heads = config.adapter.heads;
    const int64_t inside = static_cast<int64_t>(a.window) * a.window;
    a.in_proj = kernels->PackLinear({at::randn({s.width, s.width}), {}});
    a.out_proj = kernels->PackLinear({at::randn({s.width, s.width}), at::randn({s.width})});
    a.scale = at::full({a.heads, 1, 1}, 10.0F);
    a.bias = at::zeros({1, a.heads, inside, inside});
    const at::Tensor x = at::randn({1, s.patches, s.width});
    for (auto _ : state) benchmark::DoNotOptimize(kernels->AttendWindows(x, a));
    Count(state, WindowsWork(config, widths));
  });
}

void RegisterStages(const std::string& prefix, const std::shared_ptr<model::Hfwa>& hfwa,
                    Widths widths) {
  const model::ModelConfig& config = hfwa->config();
  const at::Tensor image = lab::SeededImages(config, 5, "image", 1);
  const auto forward = [=](model::ForwardParts parts) {
    return [=](benchmark::State& state) {
      benchmark::DoNotOptimize(hfwa->Forward(image, {0}, parts).value().tokens);
      const int64_t before = PageFaults();
      for (auto _ : state)
        benchmark::DoNotOptimize(hfwa->Forward(image, {0}, parts).value().tokens);
      state.counters["page faults"] = benchmark::Counter(static_cast<double>(PageFaults() - before),
                                                         benchmark::Counter::kAvgIterations);
      Count(state, ForwardWork(hfwa->config(), parts.language, widths));
    };
  };
  Register(prefix + "forward", forward({}));
  Register(prefix + "forward/tokens_only", forward({.language = false, .tokens = true}));
  Register(prefix + "match", [=](benchmark::State& state) {
    at::Tensor tokens = hfwa->Forward(image, {0}).value().tokens[0];
    const auto bank =
        bank::Bank::Create(kReferences, hfwa->kernels(), [&](int) { return tokens; }).value();
    for (auto _ : state) benchmark::DoNotOptimize(bank->Match(tokens));
    Count(state, MatchWork(hfwa->config(), kReferences, widths));
  });
  Register(prefix + "maps", [=](benchmark::State& state) {
    const model::ForwardResult result = hfwa->Forward(image, {0}).value();
    const at::Tensor diff = result.language_diff.defined() ? result.language_diff[0] : at::Tensor();
    const int grid = config.vision.grid();
    const at::Tensor few = at::rand({config.levels(), grid, grid});
    for (auto _ : state) benchmark::DoNotOptimize(engine::CombinedMap(config, diff, few));
  });
}

std::string ReadFile(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

// The yardsticks, for whoever holds other figures against them (peers/peers.py, roofline).
void PrintRates() {
  std::cerr << MachineName() << "\nbf16 matrix rate "
            << MatrixRate(*kernels::MakeKernels(at::kCPU, at::kBFloat16)) * 1e-9
            << " GFLOP/s, fp32 " << MatrixRate(*kernels::MakeKernels(at::kCPU, at::kFloat)) * 1e-9
            << " GFLOP/s, ";
  if (const auto int8 = kernels::MakeInt8Kernels(at::kCPU))
    std::cerr << "int8 " << MatrixRate(*int8) * 1e-9 << " GFLOP/s, ";
  std::cerr << "memory " << MemoryRate() * 1e-9 << " GB/s\n";
}

int Run(int argc, char** argv) {
  // As the server has it: fresh pages cost more than the arithmetic on them.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, -1);
  benchmark::Initialize(&argc, argv);
  PrintRates();
  if (argc > 1 && std::string_view(argv[1]) == "--rates") return 0;
  const std::string path =
      argc > 1 ? argv[1] : std::string(HFWA_SOURCE_DIR) + "/models/vit-l-14-336.json";
  auto config = model::ParseModelConfig(ReadFile(path));
  if (!config.ok()) {
    std::cerr << path << ": " << config.status() << "\n";
    return 1;
  }
  at::NoGradGuard no_grad;
  std::cerr << config->name << ", seeded weights, K = " << kReferences << "\n";
  const model::Weights weights = lab::SeededWeights(*config, 7);
  using model::Precision;
  for (const Precision precision : {Precision::kFp32, Precision::kBf16, Precision::kInt8}) {
    const bool bf16 = precision == Precision::kBf16;
    if (bf16 && model::FastestPrecision("cpu") != precision) continue;
    model::HfwaOptions options;
    options.precision = precision;
    model::ModelFiles files;
    files.config = *config;
    files.weights = weights;
    if (config->has_language()) options.prompt_tokens = AnyPrompts(*config);
    auto created = model::Hfwa::Create(std::move(files), options);
    if (absl::IsUnavailable(created.status())) continue;  // int8, where the processor lacks it
    if (!created.ok()) {
      std::cerr << created.status() << "\n";
      return 1;
    }
    const std::shared_ptr<model::Hfwa> hfwa = std::move(*created);
    const std::string name(model::PrecisionName(precision));
    const Widths widths = WidthsOf(hfwa->kernels(), precision == Precision::kInt8);
    RegisterKernels(name + "/kernel/", {hfwa, &hfwa->kernels()}, widths, *config);
    if (precision != Precision::kInt8) {
      const at::ScalarType type = bf16 ? at::kBFloat16 : at::kFloat;
      RegisterKernels(name + "/aten/", kernels::MakeAtenKernels(at::kCPU, type), widths, *config);
    }
    // With AMX "kernel" has the library's linear maps; ours beside them.
    if (bf16 && kernels::FasterProducts(at::kBFloat16) == kernels::Products::kLibrary)
      RegisterKernels(name + "/own/",
                      kernels::MakeAvx512Kernels(at::kBFloat16, kernels::Products::kOwn), widths,
                      *config);
    RegisterStages(name + "/stage/", hfwa, widths);
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace hfwa::bench

int main(int argc, char** argv) { return hfwa::bench::Run(argc, argv); }
