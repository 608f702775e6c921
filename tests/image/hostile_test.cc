// Files made to hurt: bombs, truncations, damage. None may crash, hang, or take much memory.

#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <limits>
#include <random>

#include "tests/image/hostile_files.h"
#include "tests/image/testing.h"

namespace hfwa::image {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kMeasures = false;  // sanitizers take their own time and memory
#else
constexpr bool kMeasures = true;
#endif

// Processor time of this thread, which the machine's load does not change.
double CpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Of this process, in MB: what is resident now, and the largest since ForgetPeak().
double StatusMb(std::string_view field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field)) return std::stod(line.substr(field.size() + 1)) / 1024;
  }
  return 0;
}
void ForgetPeak() { std::ofstream("/proc/self/clear_refs") << "5"; }

bool IsAnswer(const absl::Status& status) {
  return status.ok() || status.code() == absl::StatusCode::kInvalidArgument;
}

TEST(Hostile, bombs_end_soon_and_within_memory) {
  const bool report = std::getenv("HFWA_REPORT") != nullptr;
  for (const HostileFile& file : HostileFiles()) {
    SCOPED_TRACE(file.name);
    const double limit_s = file.from_header ? 0.005 : 1.0;
    ForgetPeak();
    const double before_mb = StatusMb("VmRSS:");
    absl::Status status;
    // What it costs is the least of three: a thread beside it on the core only adds to its time.
    double seconds = std::numeric_limits<double>::infinity();
    for (int i = 0; i < 3 && seconds >= limit_s; ++i) {
      const double start = CpuSeconds();
      status = Decode(file.bytes, DecodeOptions()).status();
      seconds = std::min(seconds, CpuSeconds() - start);
    }
    const double grown_mb = StatusMb("VmHWM:") - before_mb;
    if (report) {
      std::cout << file.name << " (" << file.bytes.size() << " bytes): " << seconds << " s, "
                << grown_mb << " MB, " << status << "\n";
    }
    EXPECT_TRUE(IsAnswer(status)) << status;
    if (file.from_header) {
      EXPECT_FALSE(ReadHeader(file.bytes, Limits()).ok());
    }
    if (kMeasures) {
      EXPECT_LT(seconds, limit_s);
      EXPECT_LT(grown_mb, file.from_header ? 8 : 256);
    }
  }
}

TEST(Hostile, scans_beyond_the_limit_are_refused_by_name) {
  std::string bytes = JpegStart(0xC2, 64, 64, "\x11") + JpegScan("\1", 0, 0, 0, 8);
  for (int i = 0; i < 64; ++i) bytes += JpegScan("\1", 1, 63, 0, 2);
  const absl::Status status = Decode(bytes + "\xff\xd9", DecodeOptions()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "JPEG: more than 64 scans");
}

// Small files, one or more of each format.
std::vector<std::string> SmallFiles() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(SamplePath(""))) {
    if (entry.path().extension() != ".json") names.push_back(entry.path());
  }
  for (const char* name : {"src/bit1.png", "src/palette_4bit.png", "src/grey16.png",
                           "src/same56.png", "src/cmyk.jpg", "src/progressive.jpg"}) {
    names.push_back(ParityPath(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

TEST(Hostile, truncation_at_every_byte_is_an_answer) {
  for (const std::string& name : SmallFiles()) {
    const std::string bytes = ReadFile(name);
    // What may be missing from a whole file: the padding of the last row, the metadata at the end.
    const bool may_end_early = name.ends_with(".bmp") || name.ends_with(".tiff");
    const size_t step = bytes.size() > 6000 ? 7 : 1;
    for (size_t length = 0; length < bytes.size(); length += step) {
      // A buffer of its own, so that a sanitizer sees a read beyond the end.
      const std::vector<char> part(bytes.begin(),
                                   bytes.begin() + static_cast<std::ptrdiff_t>(length));
      const absl::Status status = Decode({part.data(), part.size()}, DecodeOptions()).status();
      ASSERT_TRUE(IsAnswer(status)) << name << " cut to " << length << " bytes: " << status;
      ASSERT_TRUE(may_end_early || !status.ok()) << name << " cut to " << length << " bytes";
    }
  }
}

TEST(Hostile, damaged_bytes_are_an_answer) {
  std::mt19937 random(11);
  for (const std::string& name : SmallFiles()) {
    const std::string bytes = ReadFile(name);
    for (int round = 0; round < 130; ++round) {
      std::string damaged = bytes;
      const uint32_t changes = 1 + random() % 4;
      for (uint32_t i = 0; i < changes; ++i) {
        // Half of the damage goes to the headers.
        const size_t range =
            random() % 2 == 0 ? std::min<size_t>(damaged.size(), 64) : damaged.size();
        damaged[random() % range] = static_cast<char>(random());
      }
      const absl::Status status = Decode(damaged, DecodeOptions()).status();
      ASSERT_TRUE(IsAnswer(status)) << name << " round " << round << ": " << status;
    }
  }
}

}  // namespace
}  // namespace hfwa::image
