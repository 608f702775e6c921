// The encoder with the kernels of a GPU run by their twin, and with faults of a device.

#include "core/engine/encoder.h"

#include <atomic>
#include <fstream>
#include <future>
#include <optional>
#include <sstream>
#include <thread>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/synchronization/notification.h"
#include "core/engine/engine.h"
#include "core/engine/maps.h"
#include "core/kernels/cuda/cuda_kernels.h"
#include "core/kernels/cuda/twin.h"
#include "core/kernels/epilogue.h"
#include "lab/seeded_model.h"

namespace hfwa::engine {
namespace {

constexpr int kImages = 7;

class QuietObserver final : public Observer {
 public:
  void OnStage(Stage, absl::Duration) override {}
  void OnBatch(int, std::string_view) override {}
  void OnQueue(batching::Lane, int, int64_t, int) override {}
  void OnRefusal(std::string_view, batching::Lane) override {}
  void OnDeadlineSlack(batching::Lane, absl::Duration) override {}
};

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

class EncoderTest : public ::testing::Test {
 protected:
  EncoderTest() { at::set_num_threads(1); }

  // With the twin of the CUDA kernels, and what `trace` does in the middle of the forward pass.
  void Open(const model::Trace& trace, std::optional<bool> errors_stick = {}) {
    const std::string data = std::string(HFWA_SOURCE_DIR) + "/tests/data/";
    model::ModelFiles files;
    files.config_json = ReadFile(data + "seeded_model.json");
    auto config = model::ParseModelConfig(files.config_json);
    ASSERT_TRUE(config.ok()) << config.status();
    files.config = *config;
    files.weights = lab::SeededWeights(*config, 11);
    files.merges = ReadFile(data + "merges.txt");
    model::HfwaOptions options;
    options.precision = model::Precision::kBf16;
    options.trace = trace;
    options.make_kernels = [](at::Device device) {
      return kernels::MakeCudaKernels(kernels::cuda::Twin(), device, at::kBFloat16);
    };
    auto made = model::Hfwa::Create(std::move(files), options);
    ASSERT_TRUE(made.ok()) << made.status();
    images_ = lab::SeededImages(*config, 11, "image", kImages);
    references_ = lab::SeededImages(*config, 11, "reference", 3);
    encoder_ =
        std::make_unique<Encoder>(*std::move(made), batching::PlannerOptions{.batch_max = kImages},
                                  absl::Seconds(60), &Clock::Real(), &observer_, errors_stick);
  }

  // All images, in one batch: the device is held up until the last is there.
  std::vector<absl::StatusOr<Encoded>> EncodeAll(const std::vector<FinishRequest>& finish = {}) {
    absl::Notification held, all_there;
    std::thread holder([&] {
      (void)encoder_->RunTask(batching::Lane::kLive, [&] {
        held.Notify();
        all_there.WaitForNotification();
        return absl::OkStatus();
      });
    });
    held.WaitForNotification();
    std::vector<std::promise<absl::StatusOr<Encoded>>> promises(kImages);
    for (size_t i = 0; i < kImages; ++i) {
      Encoder::Request request;
      request.image = images_[static_cast<int64_t>(i)].clone();
      if (!finish.empty()) request.finish = finish[i];
      encoder_->Encode(std::move(request), [&promise = promises[i]](auto outcome) {
        promise.set_value(std::move(outcome));
      });
    }
    all_there.Notify();
    holder.join();
    std::vector<absl::StatusOr<Encoded>> outcomes;
    for (auto& promise : promises) outcomes.push_back(promise.get_future().get());
    return outcomes;
  }

  std::shared_ptr<const bank::Bank> MakeBank(int references) {
    const auto tokens_of = [&](int k) -> absl::StatusOr<at::Tensor> {
      Encoder::Request request;
      request.image = references_[k].clone();
      auto encoded = encoder_->EncodeNow(std::move(request));
      if (!encoded.ok()) return encoded.status();
      return encoded->tokens;
    };
    auto bank = bank::Bank::Create(references, encoder_->model().kernels(), tokens_of);
    EXPECT_TRUE(bank.ok()) << bank.status();
    return *bank;
  }

  QuietObserver observer_;
  at::Tensor images_, references_;
  std::unique_ptr<Encoder> encoder_;
};

TEST_F(EncoderTest, a_batch_of_mixed_products_is_finished_as_each_image_would_be_alone) {
  Open({});
  // Without weights, with one a level, and with means over windows.
  const auto levels = static_cast<size_t>(encoder_->model().config().levels());
  std::vector<float> plain(levels, 0.5F), windows(bank::kWindows.size() * levels, 0.25F);
  plain.front() = 3;
  windows.back() = 2;
  const auto none = MakeBank(1), three = MakeBank(3)->WithLevelWeights(plain),
             two = MakeBank(2)->WithLevelWeights(windows);
  const std::vector<std::shared_ptr<const bank::Bank>> banks = {none, three, two, nullptr};
  std::vector<FinishRequest> finish(kImages);
  for (int i = 0; i < kImages; ++i) {
    finish[static_cast<size_t>(i)] = {.wanted = i != 2,
                                      .bank = banks[static_cast<size_t>(i % 4)],
                                      .values = i != 3,
                                      .coloured = i % 2 == 1,
                                      .low = 0.1F * static_cast<float>(i),
                                      .high = 4};
  }
  const auto outcomes = EncodeAll(finish);
  const model::ModelConfig& config = encoder_->model().config();
  for (size_t i = 0; i < kImages; ++i) {
    ASSERT_TRUE(outcomes[i].ok()) << outcomes[i].status();
    const Encoded& encoded = *outcomes[i];
    ASSERT_EQ(encoded.finished.has_value(), finish[i].wanted) << i;
    if (!finish[i].wanted) continue;
    at::Tensor few;
    if (finish[i].bank != nullptr) few = finish[i].bank->Match(encoded.tokens);
    const at::Tensor map = CombinedMap(config, encoded.language_diff, few);
    const FinishedMap& finished = *encoded.finished;
    EXPECT_NEAR(finished.maximum, map.max().item<float>(), 1e-5) << i;
    EXPECT_EQ(finished.values.values.empty(), !finish[i].values) << i;
    EXPECT_EQ(finished.coloured.rgb.empty(), !finish[i].coloured) << i;
    if (!finish[i].values) continue;
    ASSERT_EQ(finished.values.width, config.map_size);
    const at::Tensor values =
        at::tensor(at::ArrayRef<float>(finished.values.values)).view(map.sizes());
    EXPECT_LE((values - map).abs().max().item<double>(), 1e-5) << i;
    if (!finish[i].coloured) continue;
    EXPECT_EQ(finished.coloured.rgb,
              image::ColorMap(finished.values, finish[i].low, finish[i].high).rgb);
  }
}

TEST_F(EncoderTest, a_batch_that_finds_no_memory_is_halved_and_everybody_is_answered) {
  Open({});
  std::vector<at::Tensor> expected;
  for (const auto& outcome : EncodeAll()) expected.push_back(outcome->tokens);

  // Memory runs out at the fourth image of the batch of 7, then at the second of a part of 3.
  std::atomic<int> images = 0, refused = 0;
  Open([&](std::string_view name, const at::Tensor&) {
    if (name != "patch_embed") return;
    ++images;
    if (images != 4 && images != 6) return;
    ++refused;
    C10_THROW_ERROR(OutOfMemoryError, "CUDA out of memory");
  });
  const auto outcomes = EncodeAll();
  EXPECT_EQ(refused, 2);
  EXPECT_EQ(images, 4 + 2 + kImages);
  for (size_t i = 0; i < kImages; ++i) {
    ASSERT_TRUE(outcomes[i].ok()) << outcomes[i].status();
    EXPECT_EQ(outcomes[i]->batch_size, 1);
    EXPECT_TRUE(at::equal(outcomes[i]->tokens, expected[i])) << i;
  }
  EXPECT_TRUE(encoder_->healthy().ok()) << "memory that ran out is no failure of the device";
}

TEST_F(EncoderTest, an_error_of_a_gpu_makes_it_unhealthy_at_once_and_for_good) {
  std::atomic<bool> broken = false;
  const model::Trace trace = [&](std::string_view name, const at::Tensor&) {
    TORCH_CHECK(name != "tap.0" || !broken, "CUDA error: an illegal memory access was encountered");
  };
  for (const bool sticks : {true, false}) {
    broken = false;
    Open(trace, sticks);
    EXPECT_TRUE(EncodeAll()[0].ok());
    broken = true;
    const auto outcomes = EncodeAll();
    EXPECT_TRUE(absl::IsInternal(outcomes[0].status()));
    broken = false;
    (void)EncodeAll();  // a later success does not make it well again
    const absl::Status health = encoder_->healthy();
    EXPECT_EQ(health.ok(), !sticks) << health;
    if (!sticks) continue;
    const auto reason = health.GetPayload(kReasonPayload);
    ASSERT_TRUE(reason.has_value());
    EXPECT_EQ(*reason, "DEVICE_FAILED");
    EXPECT_THAT(std::string(health.message()), ::testing::HasSubstr("illegal memory access"));
  }
}

TEST_F(EncoderTest, an_error_of_a_gpu_in_a_task_counts_too) {
  Open({}, /*errors_stick=*/true);
  EXPECT_FALSE(encoder_
                   ->RunTask(batching::Lane::kRegister,
                             []() -> absl::Status {
                               TORCH_CHECK(false, "CUDA error: unspecified launch failure");
                               return absl::OkStatus();
                             })
                   .ok());
  EXPECT_FALSE(encoder_->healthy().ok());
}

}  // namespace
}  // namespace hfwa::engine
