// hfwa_metrics_bench: pixel metrics over many maps, read from a file one by one. Prints the
// metrics, the time and the most memory taken. The maps are made up, alike to those of a model:
// smooth noise from a grid, higher at a defect, its rim hard to tell.

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/status_macros.h"
#include "core/image/render.h"
#include "lab/metrics/pixel_meter.h"

namespace hfwa::bench {
namespace {

namespace fs = std::filesystem;

struct Arguments {
  int maps = 5000;
  int side = 336;
  double memory_mib = 1536;
  bool reference_protocol = true;
  bool make_only = false;
  std::string folder;
  std::string json;
};

struct Pair {
  std::vector<float> map;
  std::vector<uint8_t> mask;
};

// Three of four maps have a defect, as in MVTec-AD; it covers 3 % on average.
Pair MakePair(int side, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> noise;
  constexpr int kGrid = 24;
  image::FloatMap grid = {.width = kGrid, .height = kGrid, .values = {}};
  const float level = 0.6F + 0.1F * noise(random);
  for (int i = 0; i < kGrid * kGrid; ++i) grid.values.push_back(level + 0.1F * noise(random));
  Pair pair = {.map = image::ResizeMap(grid, side, side).values,
               .mask = std::vector<uint8_t>(static_cast<size_t>(side) * side)};
  if (seed % 4 == 0) return pair;
  for (unsigned defects = 1 + random() % 3; defects > 0; --defects) {
    const auto in = [&](double low, double high) {
      return low + (high - low) * static_cast<double>(random()) / 4294967296.0;
    };
    const double x0 = in(0.1, 0.9) * side, y0 = in(0.1, 0.9) * side;
    const double a = in(0.02, 0.12) * side, b = in(0.02, 0.12) * side;
    const double height = in(0.1, 0.6);
    for (int y = 0; y < side; ++y) {
      for (int x = 0; x < side; ++x) {
        const double r = std::hypot((x - x0) / a, (y - y0) / b);
        if (r > 3) continue;
        const size_t at = static_cast<size_t>(y) * side + x;
        pair.map[at] += static_cast<float>(height * std::exp(-r * r));
        if (r < 1) pair.mask[at] = 255;
      }
    }
  }
  return pair;
}

// maps.f32 and masks.u8: one after the other, row by row.
void MakeFiles(const fs::path& folder, const Arguments& arguments) {
  fs::create_directories(folder);
  std::ofstream maps(folder / "maps.f32", std::ios::binary);
  std::ofstream masks(folder / "masks.u8", std::ios::binary);
  for (int i = 0; i < arguments.maps; ++i) {
    const Pair pair = MakePair(arguments.side, static_cast<uint32_t>(i));
    maps.write(reinterpret_cast<const char*>(pair.map.data()),
               static_cast<std::streamsize>(pair.map.size() * sizeof(float)));
    masks.write(reinterpret_cast<const char*>(pair.mask.data()),
                static_cast<std::streamsize>(pair.mask.size()));
  }
  if (!maps.flush() || !masks.flush()) throw std::runtime_error("cannot write " + folder.string());
}

bool HasFiles(const fs::path& folder, const Arguments& arguments) {
  std::error_code error;
  const auto pixels = static_cast<uintmax_t>(arguments.maps) * arguments.side * arguments.side;
  return fs::file_size(folder / "masks.u8", error) >= pixels && !error &&
         fs::file_size(folder / "maps.f32", error) >= 4 * pixels && !error;
}

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

absl::StatusOr<nlohmann::json> Measure(const fs::path& folder, const Arguments& arguments) {
  std::ifstream maps(folder / "maps.f32", std::ios::binary);
  std::ifstream masks(folder / "masks.u8", std::ios::binary);
  lab::PixelMeter meter({.reference_protocol = arguments.reference_protocol,
                         .memory_bytes = static_cast<size_t>(arguments.memory_mib * (1 << 20)),
                         .scratch = folder.string()});
  const auto pixels = static_cast<size_t>(arguments.side) * static_cast<size_t>(arguments.side);
  std::vector<float> map(pixels);
  std::vector<uint8_t> mask(pixels);
  const double start = Seconds();
  for (int i = 0; i < arguments.maps; ++i) {
    maps.read(reinterpret_cast<char*>(map.data()),
              static_cast<std::streamsize>(pixels * sizeof(float)));
    masks.read(reinterpret_cast<char*>(mask.data()), static_cast<std::streamsize>(pixels));
    if (!maps || !masks) return absl::DataLossError("the files end early");
    HFWA_RETURN_IF_ERROR(meter.Add(map, mask, arguments.side, arguments.side));
  }
  const double added = Seconds();
  HFWA_ASSIGN_OR_RETURN(const lab::PixelMetrics got, meter.Finish());
  const double finished = Seconds();
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return nlohmann::json{{"maps", arguments.maps},
                        {"side", arguments.side},
                        {"pixels", got.pixels},
                        {"regions", got.regions},
                        {"seconds", finished - start},
                        {"seconds_adding", added - start},
                        {"memory_mib", usage.ru_maxrss / 1024.0},
                        {"on_disk", got.on_disk},
                        {"auroc", got.ranking.auroc.value},
                        {"ap", got.ranking.ap.value},
                        {"f1_max", got.ranking.f1_max.value},
                        {"aupro_exact", got.ranking.aupro.value},
                        {"aupro_reference", got.aupro_reference.value}};
}

int Run(const Arguments& arguments) {
  const bool own = arguments.folder.empty();
  const fs::path folder =
      own ? fs::temp_directory_path() / absl::StrCat("hfwa_metrics_bench_", getpid())
          : fs::path(arguments.folder);
  if (!HasFiles(folder, arguments)) MakeFiles(folder, arguments);
  if (arguments.make_only) return 0;
  const absl::StatusOr<nlohmann::json> result = Measure(folder, arguments);
  if (own) fs::remove_all(folder);
  if (!result.ok()) {
    std::cerr << "hfwa_metrics_bench: " << result.status().message() << "\n";
    return 1;
  }
  std::cout << result->dump(1) << "\n";
  if (!arguments.json.empty()) std::ofstream(arguments.json) << result->dump(1) << "\n";
  return 0;
}

}  // namespace
}  // namespace hfwa::bench

int main(int argc, char** argv) {
  CLI::App app("Times the exact pixel metrics", "hfwa_metrics_bench");
  hfwa::bench::Arguments arguments;
  app.add_option("--maps", arguments.maps, "Number of maps")->check(CLI::Range(1, 1000000));
  app.add_option("--side", arguments.side, "Side of a map")->check(CLI::Range(1, 4096));
  app.add_option("--memory", arguments.memory_mib, "MiB for pixels; the rest goes to a file");
  app.add_flag("!--no-reference", arguments.reference_protocol, "Only the exact AUPRO");
  app.add_option("--folder", arguments.folder, "Keeps maps.f32 and masks.u8 here, and uses them");
  app.add_flag("--make", arguments.make_only, "Only make the files");
  app.add_option("--json", arguments.json, "Writes the result here too");
  CLI11_PARSE(app, argc, argv);
  try {
    return hfwa::bench::Run(arguments);
  } catch (const std::exception& error) {
    std::cerr << "hfwa_metrics_bench: " << error.what() << "\n";
    return 1;
  }
}
