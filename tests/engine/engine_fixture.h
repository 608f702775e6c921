#pragma once

// An engine with a small seeded model over a data directory that goes away, and short ways to use
// it.

#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "absl/synchronization/notification.h"
#include "core/engine/local_engine.h"
#include "core/image/render.h"
#include "core/store/sqlite_store.h"
#include "lab/seeded_model.h"

namespace hfwa::engine {

namespace fs = std::filesystem;

inline std::string ReadFile(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

class CountingObserver final : public Observer {
 public:
  void OnStage(Stage, absl::Duration) override { ++stages; }
  void OnBatch(int size, std::string_view) override { images += size; }
  void OnQueue(batching::Lane, int, int64_t, int) override {}
  void OnRefusal(std::string_view, batching::Lane) override { ++refusals; }
  void OnDeadlineSlack(batching::Lane, absl::Duration) override { ++slacks; }

  std::atomic<int> stages = 0;
  std::atomic<int> images = 0;  // that were encoded
  std::atomic<int> refusals = 0;
  std::atomic<int> slacks = 0;
};

// A striped part; `defect` paints a blot. Each seed is another part.
inline std::string Picture(uint32_t seed, bool defect = false) {
  std::mt19937 random(seed);
  image::Image picture{64, 48, std::vector<uint8_t>(64 * 48 * 3)};
  for (size_t i = 0; i < picture.rgb.size(); ++i) {
    const size_t x = i / 3 % 64;
    picture.rgb[i] = static_cast<uint8_t>((x % 8 < 4 ? 90 : 150) + random() % 12);
    if (defect && x > 20 && x < 40 && i / 3 / 64 > 10 && i / 3 / 64 < 30)
      picture.rgb[i] = static_cast<uint8_t>(random());
  }
  return *image::EncodePng(picture);
}

class EngineTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    model_directory_ = new std::string(MakeDirectory());
    const fs::path data = fs::path(HFWA_SOURCE_DIR) / "tests/data";
    ASSERT_TRUE(lab::WriteSeededModel(ReadFile(data / "seeded_model.json"), 11,
                                      ReadFile(data / "merges.txt"), *model_directory_)
                    .ok());
  }
  static void TearDownTestSuite() {
    fs::remove_all(*model_directory_);
    delete model_directory_;
  }

  void SetUp() override {
    data_directory_ = MakeDirectory();
    Open();
  }
  void TearDown() override {
    engine_.reset();
    fs::remove_all(data_directory_);
  }

  static std::string MakeDirectory() {
    std::string name = (fs::temp_directory_path() / "hfwa-engine-XXXXXX").string();
    return mkdtemp(name.data());
  }

  // Goes on with the seeded model whose configuration says `value` for `key`.
  void OpenModelWith(const std::string& key, const nlohmann::json& value) {
    const fs::path data = fs::path(HFWA_SOURCE_DIR) / "tests/data";
    nlohmann::json config = nlohmann::json::parse(ReadFile(data / "seeded_model.json"));
    config[key] = value;
    other_model_ = data_directory_ + "/model";
    fs::create_directory(other_model_);
    ASSERT_TRUE(
        lab::WriteSeededModel(config.dump(), 11, ReadFile(data / "merges.txt"), other_model_).ok());
    Open();
  }

  void Open() {
    engine_.reset();
    auto store = store::OpenSqliteStore({.directory = data_directory_});
    ASSERT_TRUE(store.ok()) << store.status();
    options_.model_directory = other_model_.empty() ? *model_directory_ : other_model_;
    options_.data_directory = data_directory_;
    options_.compute_threads = 1;
    auto engine = CreateLocalEngine(options_, *std::move(store), &Clock::Real(), &observer_);
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
  }

  // A restart, with what the cache holds or without.
  void Restart(bool keep_cache) {
    engine_.reset();
    if (!keep_cache) fs::remove_all(data_directory_ + "/cache");
    Open();
  }

  void CreateProduct(const std::string& id, store::Method method = store::Method::kHfwa) {
    store::Product product;
    product.id = id;
    product.method = method;
    ASSERT_TRUE(engine_->store().CreateProduct(product, {}).ok());
  }

  absl::StatusOr<Registration::Outcome> Add(const std::string& product,
                                            const std::vector<std::string>& pictures) {
    auto registration = engine_->Register(product);
    if (!registration.ok()) return registration.status();
    for (const std::string& picture : pictures)
      (void)(*registration)->Add({.encoded = picture, .raw = {}}, "x.png");
    return (*registration)->Finish({}, [](const Registration::Outcome&) { return std::string(); });
  }

  absl::StatusOr<DetectResult> Detect(const std::string& product, const std::string& picture,
                                      const DetectOutputs& outputs = {},
                                      absl::Duration deadline = absl::InfiniteDuration()) {
    absl::Notification ended;
    absl::StatusOr<DetectResult> outcome;
    DetectCall call;
    call.product_id = product;
    call.image.encoded = picture;
    call.outputs = outputs;
    call.deadline = deadline;
    call.done = [&](absl::StatusOr<DetectResult> result) {
      outcome = std::move(result);
      ended.Notify();
    };
    engine_->Detect(std::move(call));
    ended.WaitForNotification();
    return outcome;
  }

  static std::string Payload(const absl::Status& status, const char* type) {
    const auto payload = status.GetPayload(type);
    return payload ? std::string(*payload) : "";
  }

  static inline std::string* model_directory_ = nullptr;
  std::string data_directory_;
  std::string other_model_;  // empty: the seeded model as it is
  LocalEngineOptions options_;
  CountingObserver observer_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace hfwa::engine
