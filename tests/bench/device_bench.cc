// hfwa_device_bench [--twin | --profile N] [CONFIG.json]: what a GPU makes of a model (ViT-L/14@336
// by default) with seeded weights: its own bf16 matrix rate, the forward pass against it, and
// matching and maps against the forward pass, one image and batches, 64 products with 4 references
// each. --twin runs the same on the CPU by the kernels' twin, slowly, to see that it runs.
// --profile N judges one batch of N images between cudaProfilerStart and cudaProfilerStop, for
// profilers (ncu --profile-from-start off).

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <dlfcn.h>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "core/bank/bank.h"
#include "core/kernels/cuda/cuda_kernels.h"
#include "core/kernels/cuda/twin.h"
#include "core/kernels/epilogue.h"
#include "core/kernels/graph.h"
#include "core/model/device.h"
#include "core/model/graphed_forward.h"
#include "core/model/hfwa.h"
#include "lab/seeded_model.h"
#include "tests/bench/any_prompts.h"

namespace hfwa::bench {
namespace {

constexpr int kReferences = 4;

struct Options {
  bool twin = false;
  int profile = 0;  // images of the batch to judge once; 0: measure
  std::string config = HFWA_SOURCE_DIR "/models/vit-l-14-336.json";
  int products() const { return twin ? 3 : 64; }
  int runs() const { return twin ? 1 : 30; }
  std::vector<int> batches() const {
    return twin ? std::vector<int>{1, 2} : std::vector<int>{1, 8, 32, 64};
  }
};

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

void Wait(at::Device device) {
  if (device.is_cpu()) return;
  const c10::impl::VirtualGuardImpl guard(device.type());
  guard.synchronizeStream(guard.getStream(device));
}

// Median seconds of `work`, which queues on the device, until it is done.
double Median(at::Device device, int runs, const std::function<void()>& work) {
  for (int i = 0; i < std::min(runs, 3); ++i) work();
  Wait(device);
  std::vector<double> seconds;
  for (int i = 0; i < runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    work();
    Wait(device);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    seconds.push_back(took.count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + runs / 2, seconds.end());
  return seconds[static_cast<size_t>(runs / 2)];
}

// FLOP/s of LibTorch's bf16 product at the shapes of the model's largest linear map, 32 images.
double MatrixRate(at::Device device, const model::ModelConfig& config, int runs) {
  const int64_t width = config.vision.width;
  const int64_t tokens = (device.is_cpu() ? 1 : 32) * (config.vision.patches() + 1);
  const auto options = at::device(device).dtype(at::kBFloat16);
  // Not of one value: equal bits cost less power, and so run faster than a model's.
  const at::Tensor x = at::randn({tokens, width}, options),
                   w = at::randn({4 * width, width}, options);
  const double seconds = Median(device, runs, [&] { at::linear(x, w); });
  return 2.0 * static_cast<double>(tokens) * static_cast<double>(width * 4 * width) / seconds;
}

// Of the tower alone: linear maps and attention.
double BackboneFlops(const model::ModelConfig& config) {
  const auto width = static_cast<double>(config.vision.width);
  const auto tokens = static_cast<double>(config.vision.patches() + 1);
  const double patch = 3.0 * config.vision.patch_size * config.vision.patch_size;
  const int blocks = 1 + *std::max_element(config.taps.begin(), config.taps.end());
  return 2 * tokens * (patch * width + blocks * (12 * width * width + 2 * tokens * width));
}

class Bench {
 public:
  Bench(const Options& options, std::unique_ptr<model::Hfwa> model)
      : options_(options), model_(std::move(model)), device_(model_->kernels().device()) {}

  bool MakeBanks() {
    const model::ModelConfig& config = model_->config();
    for (int p = 0; p < options_.products(); ++p) {
      auto bank = bank::Bank::Create(
          kReferences, model_->kernels(), [&](int) -> absl::StatusOr<at::Tensor> {
            const at::Tensor tokens =
                at::randn({config.levels(), config.vision.patches(), config.embed_dim},
                          at::device(device_).dtype(at::kFloat));
            return tokens / tokens.norm(2, {2}, /*keepdim=*/true);
          });
      if (!bank.ok()) {
        std::cerr << bank.status() << "\n";
        return false;
      }
      banks_.push_back(*std::move(bank));
    }
    return true;
  }

  // One batch, after the first ones' preparations.
  void Profile() {
    const int64_t side = model_->config().vision.image_size;
    const at::Tensor images = at::randn({options_.profile, 3, side, side}, at::device(device_));
    const at::Tensor classes = at::zeros({options_.profile}, at::device(device_).dtype(at::kLong));
    for (int i = 0; i < 3; ++i) {
      if (i == 2) CallProfiler("cudaProfilerStart");
      const model::ForwardResult result = model_->ForwardOnDevice(images, classes);
      if (const kernels::Epilogue* epilogue = model_->kernels().epilogue(); epilogue != nullptr)
        Draw(*epilogue, result, Match(*epilogue, result));
      Wait(device_);
    }
    CallProfiler("cudaProfilerStop");
  }

  int Run() {
    const double rate = MatrixRate(device_, model_->config(), options_.runs());
    std::printf("kernels: %s\nbf16 matrix rate: %.1f TFLOP/s; an image's backbone: %.1f GFLOP\n",
                model_->kernels().name().c_str(), rate * 1e-12,
                BackboneFlops(model_->config()) * 1e-9);
    std::printf("%8s %12s %12s %14s %12s %12s %12s %10s %10s %10s\n", "images", "backbone ms",
                "forward ms", "with graph ms", "match ms", "maps ms", "whole ms", "images/s",
                "of rate", "besides");
    for (const int batch : options_.batches()) Measure(batch, rate);
    std::printf(
        "of rate: backbone's FLOP in the whole time over the matrix rate (aim >= 60 %%); "
        "besides: whole - backbone, over the backbone (aim < 10 %%)\n");
    return 0;
  }

 private:
  // Of the CUDA runtime that LibTorch has loaded.
  static void CallProfiler(const char* function) {
    if (const auto call = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, function))) call();
  }

  void Measure(int batch, double rate) {
    const model::ModelConfig& config = model_->config();
    const int64_t side = config.vision.image_size;
    const at::Tensor images = at::randn({batch, 3, side, side}, at::device(device_));
    const at::Tensor classes = at::zeros({batch}, at::device(device_).dtype(at::kLong));
    const auto time = [&](const std::function<void()>& work) {
      return Median(device_, options_.runs(), work);
    };
    const double backbone = time([&] {
      (void)model_->ForwardOnDevice(images, classes, {.language = false, .tokens = false});
    });
    model::ForwardResult result;
    const double forward = time([&] { result = model_->ForwardOnDevice(images, classes); });
    const kernels::Epilogue* epilogue = model_->kernels().epilogue();
    double match = 0, maps = 0, whole = forward;
    if (epilogue != nullptr) {
      at::Tensor few;
      const auto matching = [&] { few = Match(*epilogue, result); };
      const auto drawing = [&] { Draw(*epilogue, result, few); };
      match = time(matching);
      maps = time(drawing);
      whole = time([&] {
        result = model_->ForwardOnDevice(images, classes);
        matching();
        drawing();
      });
    }
    std::printf("%8d %12.2f %12.2f %14s %12.2f %12.2f %12.2f %10.0f %9.0f%% %9.0f%%\n", batch,
                backbone * 1e3, forward * 1e3, Graphed(batch, images).c_str(), match * 1e3,
                maps * 1e3, whole * 1e3, batch / whole,
                100 * batch * BackboneFlops(config) / whole / rate,
                100 * (whole - backbone) / backbone);
  }

  at::Tensor Match(const kernels::Epilogue& epilogue, const model::ForwardResult& result) const {
    const at::Tensor tokens = result.tokens.to(at::kHalf);
    std::vector<kernels::RowMatch> matches;
    for (int64_t b = 0; b < result.tokens.size(0); ++b)
      banks_[static_cast<size_t>(b) % banks_.size()]->AddMatches(tokens[b], matches);
    const int64_t grid = model_->config().vision.grid();
    return at::rsub(epilogue.Maxima(matches), 1).view({result.tokens.size(0), -1, grid, grid});
  }

  void Draw(const kernels::Epilogue& epilogue, const model::ForwardResult& result,
            const at::Tensor& few) const {
    const model::ModelConfig& config = model_->config();
    const auto batch = static_cast<size_t>(few.size(0));
    const auto maps =
        epilogue.Combine({config.map_size, config.filter_sigma}, result.language_diff, few);
    (void)epilogue.Colour(maps.map, std::vector<float>(batch, 0), std::vector<float>(batch, 8),
                          at::zeros({256, 3}, at::kByte));
  }

  // Milliseconds of the forward pass as one piece.
  std::string Graphed(int batch, const at::Tensor& images) const {
    if (device_.is_cpu()) return "-";
    std::string why;
    auto graphed = model::GraphedForward::Create(*model_, batch,
                                                 [&] { return kernels::MakeGraph(device_, &why); });
    if (!graphed.ok()) {
      std::cerr << "graphs: " << graphed.status() << " " << why << "\n";
      return "-";
    }
    const std::vector<int> classes(static_cast<size_t>(batch), 0);
    char text[32];
    std::snprintf(text, sizeof(text), "%.2f", 1e3 * Median(device_, options_.runs(), [&] {
                                                (void)(*graphed)->Forward(images, classes);
                                              }));
    return text;
  }

  const Options options_;
  const std::unique_ptr<model::Hfwa> model_;
  const at::Device device_;
  std::vector<std::shared_ptr<const bank::Bank>> banks_;
};

absl::StatusOr<std::unique_ptr<model::Hfwa>> MakeModel(const Options& options) {
  model::ModelFiles files;
  files.config_json = ReadFile(options.config);
  auto config = model::ParseModelConfig(files.config_json);
  if (!config.ok()) return config.status();
  files.config = *config;
  files.weights = lab::SeededWeights(*config, 7);
  model::HfwaOptions made;
  made.precision = model::Precision::kBf16;
  made.device = options.twin ? "cpu" : "cuda";
  if (config->has_language()) made.prompt_tokens = AnyPrompts(*config);
  if (options.twin) {
    made.make_kernels = [](at::Device device) {
      return kernels::MakeCudaKernels(kernels::cuda::Twin(), device, at::kBFloat16);
    };
  }
  return model::Hfwa::Create(std::move(files), made);
}

int Main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--twin") {
      options.twin = true;
    } else if (std::string_view(argv[i]) == "--profile" && i + 1 < argc) {
      options.profile = std::max(1, std::atoi(argv[++i]));
    } else if (argv[i][0] != '-') {
      options.config = argv[i];
    } else {
      std::cerr << "hfwa_device_bench [--twin | --profile N] [CONFIG.json]\n";
      return 64;
    }
  }
  if (!options.twin && !model::OpenDevice("cuda").ok()) {
    std::cout << "skipped: no CUDA device\n";
    return 0;
  }
  const at::NoGradGuard no_grad;
  auto model = MakeModel(options);
  if (!model.ok()) {
    std::cerr << model.status() << "\n";
    return 70;
  }
  Bench bench(options, *std::move(model));
  if (!bench.MakeBanks()) return 70;
  if (options.profile == 0) return bench.Run();
  bench.Profile();
  return 0;
}

}  // namespace
}  // namespace hfwa::bench

int main(int argc, char** argv) { return hfwa::bench::Main(argc, argv); }
