#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/image/render.h"
#include "tests/engine/engine_fixture.h"

namespace hfwa::engine {
namespace {

TEST_F(EngineTest, judges_zero_shot_where_there_is_no_reference) {
  CreateProduct("bolt");
  const auto result = Detect("bolt", Picture(1));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->method, Method::kZeroShot);
  EXPECT_EQ(result->verdict, Verdict::kUnspecified);
  EXPECT_EQ(result->calibration, CalibrationState::kUncalibrated);
  EXPECT_FALSE(result->threshold.has_value());
  EXPECT_DOUBLE_EQ(result->score, *result->text_probability);
  EXPECT_EQ(result->revision, 0);
}

TEST_F(EngineTest, registers_and_judges) {
  CreateProduct("bolt");
  const auto outcome = Add("bolt", {Picture(1), Picture(2), Picture(3), Picture(4)});
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->product.revision, 1);
  EXPECT_EQ(outcome->product.reference_count, 4);

  const auto reference = Detect("bolt", Picture(2));
  ASSERT_TRUE(reference.ok()) << reference.status();
  EXPECT_EQ(reference->method, Method::kFewShot);
  EXPECT_EQ(reference->calibration, CalibrationState::kProvisional);
  EXPECT_EQ(reference->verdict, Verdict::kGood);
  EXPECT_EQ(reference->revision, 1);
  EXPECT_EQ(reference->image_width, 64);
  EXPECT_EQ(reference->image_height, 48);
  const auto defect = Detect("bolt", Picture(9, /*defect=*/true));
  ASSERT_TRUE(defect.ok()) << defect.status();
  EXPECT_GT(defect->score, reference->score);
  EXPECT_GT(defect->map_max, reference->map_max);
}

TEST_F(EngineTest, one_reference_is_judged_by_its_own_distant_patches) {
  CreateProduct("bolt");
  ASSERT_TRUE(Add("bolt", {Picture(1)}).ok());
  const auto result = Detect("bolt", Picture(1));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->calibration, CalibrationState::kProvisional);
  EXPECT_EQ(result->verdict, Verdict::kGood);
}

TEST_F(EngineTest, a_coreset_is_another_bank_that_a_restart_finds_again) {
  CreateProduct("bolt");
  ASSERT_TRUE(Add("bolt", {Picture(1), Picture(2), Picture(3)}).ok());
  const auto whole = Detect("bolt", Picture(9, true));
  ASSERT_TRUE(whole.ok()) << whole.status();
  store::ProductPatch patch;
  patch.coreset_ratio = 0.2;
  ASSERT_TRUE(engine_->store().UpdateProduct("bolt", patch, "", {}).ok());
  const auto part = Detect("bolt", Picture(9, true));
  ASSERT_TRUE(part.ok()) << part.status();
  EXPECT_EQ(part->revision, whole->revision + 1);
  EXPECT_EQ(part->calibration, CalibrationState::kProvisional);
  EXPECT_GT(part->map_max, whole->map_max) << "fewer rows are never nearer";
  EXPECT_GT(part->score, Detect("bolt", Picture(2))->score);
  EXPECT_EQ(Detect("bolt", Picture(2))->verdict, Verdict::kGood);
  // With what the cache keeps, and without.
  for (const bool kept : {true, false}) {
    Restart(kept);
    const auto again = Detect("bolt", Picture(9, true));
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(again->score, part->score) << kept;
    EXPECT_EQ(again->threshold, part->threshold) << kept;
  }
  patch.coreset_ratio = 1;
  ASSERT_TRUE(engine_->store().UpdateProduct("bolt", patch, "", {}).ok());
  EXPECT_EQ(Detect("bolt", Picture(9, true))->score, whole->score);
}

TEST_F(EngineTest, a_coreset_of_one_reference_or_of_many_is_calibrated) {
  for (const uint32_t references : {1U, 18U}) {
    const std::string id = "bolt" + std::to_string(references);
    store::Product product;
    product.id = id;
    product.coreset_ratio = 0.3;
    ASSERT_TRUE(engine_->store().CreateProduct(product, {}).ok());
    std::vector<std::string> pictures;
    for (uint32_t i = 0; i < references; ++i) pictures.push_back(Picture(i));
    ASSERT_TRUE(Add(id, pictures).ok());
    const auto result = Detect(id, Picture(100));
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->calibration, CalibrationState::kProvisional);
    EXPECT_EQ(result->verdict, Verdict::kGood) << references;
  }
}

TEST_F(EngineTest, a_threshold_of_the_operator_decides) {
  CreateProduct("bolt");
  ASSERT_TRUE(Add("bolt", {Picture(1), Picture(2)}).ok());
  store::ProductPatch patch;
  patch.threshold = std::optional<double>(0.0);
  ASSERT_TRUE(engine_->store().UpdateProduct("bolt", patch, "", {}).ok());
  const auto result = Detect("bolt", Picture(1));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->calibration, CalibrationState::kManual);
  EXPECT_EQ(result->verdict, Verdict::kAnomalous);
  const auto calibration = engine_->GetCalibration(*engine_->store().GetProduct("bolt"));
  ASSERT_TRUE(calibration.ok());
  EXPECT_EQ(calibration->state, CalibrationState::kManual);
}

TEST_F(EngineTest, a_restart_brings_everything_back_without_encoding) {
  CreateProduct("bolt");
  ASSERT_TRUE(Add("bolt", {Picture(1), Picture(2), Picture(3)}).ok());
  const auto before = Detect("bolt", Picture(7, true));
  ASSERT_TRUE(before.ok());
  Open();
  observer_.images = 0;
  const auto after = Detect("bolt", Picture(7, true));
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(observer_.images, 1) << "only the judged image may enter the model";
  EXPECT_EQ(after->score, before->score);
  EXPECT_EQ(after->map_max, before->map_max);
  EXPECT_EQ(after->threshold, before->threshold);
}

TEST_F(EngineTest, what_levels_count_for_a_product_outlives_a_restart_and_a_lost_cache) {
  CreateProduct("plain");
  ASSERT_TRUE(Add("plain", {Picture(1), Picture(2), Picture(3)}).ok());
  const auto plain = Detect("plain", Picture(7, true));
  ASSERT_TRUE(plain.ok());
  const nlohmann::json profile = {{1, 1, 1, 1}, {1, 0, 0, 0}, {0, 0, 0.5, 0}};
  ASSERT_NO_FATAL_FAILURE(
      OpenModelWith("product_levels", {{"object", profile}, {"texture", profile}}));
  for (const double ratio : {1.0, 0.3}) {
    store::Product product;
    product.id = "bolt";
    product.coreset_ratio = ratio;
    ASSERT_TRUE(engine_->store().CreateProduct(product, {}).ok());
    ASSERT_TRUE(Add("bolt", {Picture(1), Picture(2), Picture(3)}).ok());
    const auto before = Detect("bolt", Picture(7, true));
    ASSERT_TRUE(before.ok()) << before.status();
    EXPECT_EQ(before->verdict, Verdict::kAnomalous);
    EXPECT_EQ(Detect("bolt", Picture(2))->verdict, Verdict::kGood);
    // Distances are small against 1, and so are their spreads.
    EXPECT_GT(before->map_max, 2 * plain->map_max);
    for (const bool kept : {true, false}) {
      Restart(kept);
      const auto again = Detect("bolt", Picture(7, true));
      ASSERT_TRUE(again.ok()) << again.status();
      EXPECT_EQ(again->map_max, before->map_max) << ratio << " " << kept;
      EXPECT_EQ(again->score, before->score) << ratio << " " << kept;
    }
    ASSERT_TRUE(engine_->store().DeleteProduct("bolt", "", {}).ok());
  }
}

TEST_F(EngineTest, a_lost_or_damaged_cache_is_rebuilt_with_the_same_score) {
  CreateProduct("bolt");
  ASSERT_TRUE(Add("bolt", {Picture(1), Picture(2)}).ok());
  const auto before = Detect("bolt", Picture(7, true));
  ASSERT_TRUE(before.ok());
  engine_.reset();
  int damaged = 0;
  for (const auto& entry : fs::recursive_directory_iterator(data_directory_ + "/cache")) {
    if (!entry.is_regular_file()) continue;
    if (damaged++ % 2 == 0) {
      fs::resize_file(entry.path(), entry.file_size() / 2);
    } else {
      std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(static_cast<std::streamoff>(entry.file_size() / 2));
      file.put('!');
    }
  }
  EXPECT_GE(damaged, 3);  // two references and the score model
  Open();
  const auto after = Detect("bolt", Picture(7, true));
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->score, before->score);
}

TEST_F(EngineTest, a_bank_that_is_being_built_holds_up_its_own_product_alone) {
  options_.decode_threads = 1;
  CreateProduct("cold");
  ASSERT_TRUE(Add("cold", {Picture(1)}).ok());
  CreateProduct("warm");
  ASSERT_TRUE(Add("warm", {Picture(2)}).ok());
  const auto picture = engine_->store().ListReferences("cold", {});
  ASSERT_TRUE(picture.ok() && picture->size() == 1);
  engine_.reset();
  fs::remove_all(data_directory_ + "/cache");
  // Whoever opens the reference to encode it anew waits until somebody opens it to write.
  const std::string& sha256 = picture->front().sha256;
  const std::string object =
      data_directory_ + "/objects/" + sha256.substr(0, 2) + "/" + sha256.substr(2);
  ASSERT_TRUE(fs::remove(object));
  ASSERT_EQ(mkfifo(object.c_str(), 0600), 0);
  Open();

  std::vector<absl::Status> cold(3);
  std::vector<std::thread> callers;
  callers.reserve(cold.size());
  for (absl::Status& status : cold) {
    callers.emplace_back([&] { status = Detect("cold", Picture(7)).status(); });
  }
  for (int i = 0; i < 3; ++i) {
    const auto warm = Detect("warm", Picture(7), {}, Clock::Real().SteadyNow() + absl::Minutes(1));
    EXPECT_TRUE(warm.ok()) << warm.status();
  }
  // A FIFO is not a picture: the build ends, and each of its callers hears why.
  std::ofstream(object).close();
  for (std::thread& caller : callers) caller.join();
  for (const absl::Status& status : cold) EXPECT_FALSE(status.ok());
}

TEST_F(EngineTest, features_made_by_another_reading_of_pictures_are_not_used) {
  CreateProduct("bolt");
  ASSERT_TRUE(Add("bolt", {Picture(1), Picture(2)}).ok());
  options_.decode.apply_orientation = false;
  Open();
  observer_.images = 0;
  ASSERT_TRUE(Detect("bolt", Picture(7)).ok());
  EXPECT_EQ(observer_.images, 3) << "both references are encoded again";
}

TEST_F(EngineTest, the_same_image_scores_the_same_to_the_bit_whatever_runs_beside_it) {
  CreateProduct("bolt");
  ASSERT_TRUE(Add("bolt", {Picture(1), Picture(2)}).ok());
  const std::string picture = Picture(5, true);
  const double alone = Detect("bolt", picture)->score;
  std::vector<std::thread> callers;
  std::atomic<int> different = 0;
  for (uint32_t c = 0; c < 4; ++c) {
    callers.emplace_back([&, c] {
      for (uint32_t i = 0; i < 20; ++i) {
        (void)Detect("bolt", Picture(100 * c + i));
        const auto result = Detect("bolt", picture);
        if (!result.ok() || result->score != alone) ++different;
      }
    });
  }
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(different, 0);
}

TEST_F(EngineTest, detection_goes_on_while_references_are_registered) {
  CreateProduct("bolt");
  ASSERT_TRUE(Add("bolt", {Picture(1), Picture(2)}).ok());
  std::atomic<bool> registering = true;
  std::thread registrar([&] {
    for (uint32_t i = 0; i < 5; ++i) EXPECT_TRUE(Add("bolt", {Picture(10 + i)}).ok());
    registering = false;
  });
  int64_t last = 1;
  while (registering) {
    const auto result = Detect("bolt", Picture(3));
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_GE(result->revision, last);
    last = result->revision;
  }
  registrar.join();
  EXPECT_EQ(Detect("bolt", Picture(3))->revision, 6);
}

TEST_F(EngineTest, deleting_references_goes_back_to_zero_shot) {
  CreateProduct("bolt");
  const auto outcome = Add("bolt", {Picture(1)});
  ASSERT_TRUE(outcome.ok());
  ASSERT_TRUE(engine_->DeleteReference("bolt", outcome->items[0].reference.id, {}).ok());
  const auto result = Detect("bolt", Picture(1));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->method, Method::kZeroShot);
  EXPECT_EQ(result->revision, 2);
  ASSERT_TRUE(engine_->DeleteProduct("bolt", "", {}).ok());
  EXPECT_TRUE(absl::IsNotFound(Detect("bolt", Picture(1)).status()));
}

TEST_F(EngineTest, a_refused_image_does_not_undo_the_others) {
  CreateProduct("bolt");
  const auto outcome = Add("bolt", {Picture(1), "not an image", Picture(1), Picture(2)});
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  ASSERT_EQ(outcome->items.size(), 4u);
  EXPECT_TRUE(outcome->items[0].status.ok());
  EXPECT_TRUE(absl::IsInvalidArgument(outcome->items[1].status));
  EXPECT_EQ(Payload(outcome->items[1].status, kFieldPayload), "image.content");
  EXPECT_TRUE(outcome->items[2].duplicate);
  EXPECT_FALSE(outcome->items[3].duplicate);
  EXPECT_EQ(outcome->product.reference_count, 2);
}

TEST_F(EngineTest, names_the_field_of_bad_input) {
  CreateProduct("bolt");
  EXPECT_EQ(Payload(Detect("bolt", "").status(), kFieldPayload), "image.content");
  EXPECT_EQ(Payload(Detect("bolt", "GIF89a").status(), kFieldPayload), "image.content");
  EXPECT_TRUE(absl::IsNotFound(Detect("nut", Picture(1)).status()));
}

TEST_F(EngineTest, renders_what_was_asked_for) {
  CreateProduct("bolt");
  ASSERT_TRUE(Add("bolt", {Picture(1), Picture(2)}).ok());
  const int side = engine_->model().image_size;
  const auto result =
      Detect("bolt", Picture(9, true),
             {.map = true, .level_maps = true, .regions = true, .format = MapFormat::kFloat32});
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_TRUE(result->map.has_value());
  EXPECT_EQ(result->map->data.size(),
            static_cast<size_t>(result->map->width) * static_cast<size_t>(result->map->height) * 4);
  EXPECT_EQ(result->map->width, side);
  EXPECT_EQ(result->level_maps.size(), 4u);
  float largest = 0;
  for (size_t i = 0; i < result->map->data.size(); i += 4) {
    float value = 0;
    memcpy(&value, result->map->data.data() + i, 4);
    largest = std::max(largest, value);
  }
  EXPECT_EQ(largest, static_cast<float>(result->map_max));
  for (const image::Region& region : result->regions) {
    EXPECT_GE(region.x, 0);
    EXPECT_LE(region.x + region.width, result->image_width);
    EXPECT_LE(region.y + region.height, result->image_height);
  }
  const auto image_size =
      Detect("bolt", Picture(9, true),
             {.map = true, .format = MapFormat::kPngGray16, .size = MapSize::kImage});
  EXPECT_EQ(image_size->map->width, 64);
  EXPECT_EQ(image_size->map->height, 48);
}

TEST_F(EngineTest, refuses_when_full_with_a_time_to_come_back) {
  options_.queue_images = 2;
  Open();
  CreateProduct("bolt");
  const std::string picture = Picture(1);
  std::atomic<int> ended = 0, refused = 0;
  absl::Notification all;
  constexpr int kCalls = 200;
  for (int i = 0; i < kCalls; ++i) {
    DetectCall call;
    call.product_id = "bolt";
    call.image.encoded = picture;
    call.done = [&](const absl::StatusOr<DetectResult>& result) {
      if (absl::IsResourceExhausted(result.status())) {
        EXPECT_EQ(Payload(result.status(), kReasonPayload), "QUEUE_FULL");
        EXPECT_NE(Payload(result.status(), kRetryPayload), "");
        ++refused;
      }
      if (++ended == kCalls) all.Notify();
    };
    engine_->Detect(std::move(call));
  }
  all.WaitForNotification();
  EXPECT_GT(refused, 0);
  EXPECT_LT(refused, kCalls);
  EXPECT_EQ(observer_.refusals, refused);
}

TEST_F(EngineTest, what_cannot_be_done_in_time_is_refused_before_it_is_decoded) {
  CreateProduct("bolt");
  const std::string picture = Picture(1);
  ASSERT_TRUE(Detect("bolt", picture, {}, Clock::Real().SteadyNow() + absl::Minutes(1)).ok());
  EXPECT_EQ(observer_.slacks, 1);
  const int stages = observer_.stages;
  // The warm-up has shown that a batch takes longer than that.
  const absl::Status status =
      Detect("bolt", picture, {}, Clock::Real().SteadyNow() + absl::Microseconds(10)).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_EQ(Payload(status, kReasonPayload), "DEADLINE_EXCEEDED");
  EXPECT_NE(Payload(status, kRetryPayload), "");
  EXPECT_EQ(observer_.refusals, 1);
  EXPECT_EQ(observer_.stages, stages);
}

TEST_F(EngineTest, a_picture_that_would_burst_the_budget_is_refused_and_others_go_on) {
  const int side = engine_->model().image_size;
  const std::string small = Picture(1);
  image::Image large{2000, 1000, std::vector<uint8_t>(2000 * 1000 * 3)};
  const std::string packed = *image::EncodePng(large);
  // Room for both files and their tensors, and not for six million bytes of pixels.
  options_.queue_bytes = static_cast<int64_t>(small.size() + packed.size()) +
                         int64_t{2} * 3 * side * side * 4 + 20'000;
  Open();
  CreateProduct("bolt");
  EXPECT_TRUE(Detect("bolt", small).ok());
  const absl::Status status = Detect("bolt", packed).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_EQ(Payload(status, kReasonPayload), "QUEUE_FULL");
  // A place is given back soon after its call has ended, not before.
  auto again = Detect("bolt", small);
  const absl::Time patience = absl::Now() + absl::Seconds(20);
  while (absl::IsResourceExhausted(again.status()) && absl::Now() < patience) {
    absl::SleepFor(absl::Milliseconds(5));
    again = Detect("bolt", small);
  }
  EXPECT_TRUE(again.ok()) << "all that was reserved is given back: " << again.status();
}

TEST_F(EngineTest, late_and_cancelled_calls_never_reach_the_model) {
  CreateProduct("bolt");
  observer_.images = 0;
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      Detect("bolt", Picture(1), {}, Clock::Real().SteadyNow() - absl::Seconds(1)).status()));
  absl::Notification ended;
  DetectCall call;
  call.product_id = "bolt";
  const std::string picture = Picture(1);
  call.image.encoded = picture;
  call.cancelled = [] { return true; };
  call.done = [&](const absl::StatusOr<DetectResult>& result) {
    EXPECT_TRUE(absl::IsCancelled(result.status()));
    ended.Notify();
  };
  engine_->Detect(std::move(call));
  ended.WaitForNotification();
  EXPECT_EQ(observer_.images, 0);
}

TEST_F(EngineTest, auto_precision_names_what_it_chose) {
  options_.precision = "auto";
  Open();
  EXPECT_THAT(engine_->model().precision, ::testing::AnyOf("fp32", "bf16"));
  CreateProduct("bolt");
  EXPECT_TRUE(Detect("bolt", Picture(1)).ok());
  options_.precision = "fp12";
  auto store = store::OpenSqliteStore({.directory = data_directory_ + "/other"});
  ASSERT_TRUE(store.ok());
  EXPECT_TRUE(absl::IsInvalidArgument(
      CreateLocalEngine(options_, *std::move(store), &Clock::Real(), &observer_).status()));
}

TEST_F(EngineTest, draining_refuses_new_work) {
  CreateProduct("bolt");
  EXPECT_TRUE(engine_->healthy().ok());
  engine_->Drain(absl::Seconds(5));
  EXPECT_TRUE(absl::IsUnavailable(engine_->healthy()));
  const absl::Status status = Detect("bolt", Picture(1)).status();
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_EQ(Payload(status, kReasonPayload), "DRAINING");
  EXPECT_TRUE(absl::IsUnavailable(engine_->Register("bolt").status()));
}

}  // namespace
}  // namespace hfwa::engine
