// The files that people and TensorBoard read.

#include <bit>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/clock.h"
#include "lab/fixture.h"
#include "lab/train/csv_log.h"
#include "lab/train/event_log.h"
#include "lab/train/progress.h"
#include "tests/lab/scratch.h"

namespace hfwa::lab::train {
namespace {

using ::testing::HasSubstr;

TEST(EventLog, crc32c_gives_the_check_value_of_its_definition) {
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283U);
  // RFC 3720, B.4: 32 bytes of zeros.
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8A9136AAU);
}

// Payloads of the frames; every checksum must hold.
std::vector<std::string> Frames(const std::string& file) {
  const auto masked = [](std::string_view bytes) {
    const uint32_t crc = Crc32c(bytes);
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8U;
  };
  std::vector<std::string> frames;
  for (size_t at = 0; at < file.size();) {
    uint64_t length = 0;
    uint32_t length_crc = 0, crc = 0;
    std::memcpy(&length, file.data() + at, 8);
    std::memcpy(&length_crc, file.data() + at + 8, 4);
    EXPECT_EQ(length_crc, masked(file.substr(at, 8)));
    frames.push_back(file.substr(at + 12, length));
    std::memcpy(&crc, file.data() + at + 12 + length, 4);
    EXPECT_EQ(crc, masked(frames.back()));
    at += 16 + length;
  }
  return frames;
}

TEST(EventLog, frames_hold_the_version_and_the_scalar) {
  const Scratch scratch;
  {
    EventLog log;
    ASSERT_TRUE(log.Open(scratch.root()).ok());
    log.Scalar("loss", 300, 1.5);
  }
  const auto path = std::filesystem::directory_iterator(scratch.root())->path();
  EXPECT_THAT(path.filename().string(), HasSubstr("events.out.tfevents."));
  const auto frames = Frames(*ReadFile(path.string()));
  ASSERT_EQ(frames.size(), 2U);
  // Both begin with wall_time, a fixed64 of field 1.
  EXPECT_EQ(frames[0].substr(9), std::string("\x1a\x0d") + "brain.Event:2");
  // step 300; summary { value { tag: "loss" simple_value: 1.5 } }
  EXPECT_EQ(frames[1].substr(9),
            std::string("\x10\xac\x02\x2a\x0d\x0a\x0b\x0a\x04loss\x15\0\0\xc0\x3f", 18));
}

TEST(CsvLog, a_resumed_log_drops_what_the_checkpoint_does_not_know) {
  const Scratch scratch;
  const std::string path = scratch.path("steps.csv");
  {
    CsvLog log;
    ASSERT_TRUE(log.Open(path, "step,loss", -1).ok());
    for (int i = 1; i <= 4; ++i) log.Add(i, {i / 2.0});
  }
  std::ofstream(path, std::ios::app) << "5,2";  // cut off by a crash: looks whole, is too far
  CsvLog log;
  ASSERT_TRUE(log.Open(path, "step,loss", 2).ok());
  log.Add(3, {7});
  EXPECT_EQ(*ReadFile(path), "step,loss\n1,0.5\n2,1\n3,7\n");
}

TEST(Progress, names_losses_rate_and_time_left) {
  FakeClock clock;
  std::ostringstream out;
  Progress progress(out, /*terminal=*/true, clock);
  progress.Start(0, 2, 8, 0, {"ce", "focal", "dice"});
  clock.Advance(absl::Seconds(2));
  progress.Advance(4, {3.5, {0.5, 1, 2}});
  EXPECT_THAT(out.str(), HasSubstr("epoch 1/2 [##########..........] 4/8"));
  EXPECT_THAT(out.str(), HasSubstr("loss 3.5000 (ce 0.5000 focal 1.0000 dice 2.0000)"));
  EXPECT_THAT(out.str(), HasSubstr("2.00 images/s  0:06 left"));
  progress.Finish("done");
  EXPECT_THAT(out.str(), HasSubstr("done\n"));
}

}  // namespace
}  // namespace hfwa::lab::train
