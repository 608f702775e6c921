// hfwa_scale_bench: many products through the real engine and store: registers them, starts again,
// and judges images of products drawn at random. Prints time and memory as the number of products
// grows, what the first call of a product costs and a warm one, and whether the budgets hold.
//
// The model has the shapes that count here (patches, levels, width of tokens) and next to no depth:
// encoding an image is quick, and all else is as with the whole model.

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/notification.h"
#include "core/base/status_macros.h"
#include "core/engine/local_engine.h"
#include "core/image/render.h"
#include "core/store/sqlite_store.h"
#include "lab/seeded_model.h"
#include "tests/bench/machine.h"

namespace hfwa::bench {
namespace {

namespace fs = std::filesystem;

struct Arguments {
  int products = 100;
  int references = 4;
  int detects = 200;
  std::string shape = "small";
  std::string precision = "fp32";
  double bank_mib = 1024;
  double disk_mib = 16384;
  double coreset_ratio = 1;
  std::string folder;
};

struct Shape {
  int image;
  int patch;
  int embed;
};
const std::map<std::string, Shape> kShapes = {
    {"tiny", {56, 7, 64}},      // of the tests
    {"small", {336, 14, 192}},  // 24 x 24 patches of a small model
    {"vit-l", {336, 14, 768}},  // of ViT-L/14@336
};

std::string ReadFile(const fs::path& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

class Counter final : public engine::Observer {
 public:
  void OnStage(engine::Stage, absl::Duration) override {}
  void OnBatch(int size, std::string_view) override { images += size; }
  void OnQueue(batching::Lane, int, int64_t, int) override {}
  void OnRefusal(std::string_view, batching::Lane) override {}
  void OnDeadlineSlack(batching::Lane, absl::Duration) override {}

  std::atomic<int64_t> images = 0;  // that went through the model
};

// Every seed is another striped picture.
std::string Picture(uint32_t seed) {
  std::mt19937 random(seed);
  image::Image picture{64, 48, std::vector<uint8_t>(64 * 48 * 3)};
  for (size_t i = 0; i < picture.rgb.size(); ++i)
    picture.rgb[i] = static_cast<uint8_t>((i / 3 % 64 % 8 < 4 ? 90 : 150) + random() % 12);
  return *image::EncodePng(picture);
}

double ResidentMiB() {
  std::ifstream in("/proc/self/statm");
  double total = 0, resident = 0;
  in >> total >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

double FolderMiB(const fs::path& folder) {
  double bytes = 0;
  std::error_code ignored;
  for (const auto& entry : fs::recursive_directory_iterator(folder, ignored)) {
    if (entry.is_regular_file(ignored)) bytes += static_cast<double>(entry.file_size(ignored));
  }
  return bytes / (1 << 20);
}

// Median and 99th percentile in milliseconds.
std::string Summary(std::vector<double> ms) {
  if (ms.empty()) return "none";
  std::sort(ms.begin(), ms.end());
  return absl::StrFormat("%d, p50 %.1f ms, p99 %.1f ms", ms.size(), ms[ms.size() / 2],
                         ms[std::min(ms.size() - 1, ms.size() * 99 / 100)]);
}

class Scale {
 public:
  explicit Scale(const Arguments& arguments) : arguments_(arguments), root_(arguments.folder) {}

  absl::Status Run() {
    HFWA_RETURN_IF_ERROR(MakeModel());
    HFWA_RETURN_IF_ERROR(Start());
    HFWA_RETURN_IF_ERROR(RegisterAll());
    engine_.reset();
    malloc_trim(0);
    std::cout << absl::StrFormat("stopped: %.0f MiB resident\n", ResidentMiB());
    const absl::Time begin = absl::Now();
    HFWA_RETURN_IF_ERROR(Start());
    std::cout << absl::StrFormat(
        "started again in %.2f s (model and %d products): %.0f MiB resident\n",
        absl::ToDoubleSeconds(absl::Now() - begin), arguments_.products, ResidentMiB());
    return DetectAtRandom();
  }

 private:
  absl::Status MakeModel() {
    const Shape& shape = kShapes.at(arguments_.shape);
    const fs::path data = fs::path(HFWA_SOURCE_DIR) / "tests/data";
    auto config = nlohmann::ordered_json::parse(ReadFile(data / "seeded_model.json"));
    config["name"] = "scale-" + arguments_.shape;
    config["embed_dim"] = config["fusion_dim"] = shape.embed;
    config["vision"] = {{"width", 64},
                        {"layers", 4},
                        {"heads", 1},
                        {"patch_size", shape.patch},
                        {"image_size", shape.image}};
    config["taps"] = {0, 1, 2, 3};
    config["map_size"] = shape.image;
    fs::create_directories(root_);
    return lab::WriteSeededModel(config.dump(), 3, ReadFile(data / "merges.txt"),
                                 (root_ / "model").string());
  }

  absl::Status Start() {
    const std::string data = (root_ / "data").string();
    HFWA_ASSIGN_OR_RETURN(auto store, store::OpenSqliteStore({.directory = data}));
    engine::LocalEngineOptions options;
    options.model_directory = (root_ / "model").string();
    options.data_directory = data;
    options.precision = arguments_.precision;
    options.bank_cache_bytes = static_cast<int64_t>(arguments_.bank_mib * (1 << 20));
    options.feature_cache_bytes = static_cast<int64_t>(arguments_.disk_mib * (1 << 20));
    HFWA_ASSIGN_OR_RETURN(
        engine_, engine::CreateLocalEngine(options, std::move(store), &Clock::Real(), &counter_));
    return absl::OkStatus();
  }

  static std::string Id(int product) { return absl::StrCat("p", product); }

  absl::Status RegisterAll() {
    const int step = std::max(1, arguments_.products / 4);
    absl::Time begin = absl::Now();
    double before = ResidentMiB();
    std::cout << absl::StrFormat("%d at the start: %.0f MiB resident\n", 0, before);
    for (int product = 0; product < arguments_.products; ++product) {
      HFWA_RETURN_IF_ERROR(RegisterOne(product));
      if ((product + 1) % step != 0) continue;
      const double now = ResidentMiB();
      std::cout << absl::StrFormat(
                       "%d products: %.1f ms and %.1f KiB of memory each since the last line; %.0f "
                       "MiB resident; on disk: features %.0f MiB, images %.1f MiB, database %.1f "
                       "MiB\n",
                       product + 1, absl::ToDoubleMilliseconds(absl::Now() - begin) / step,
                       (now - before) * 1024 / step, now, FolderMiB(root_ / "data/cache"),
                       FolderMiB(root_ / "data/objects"), DatabaseMiB())
                << std::flush;
      before = now;
      begin = absl::Now();
    }
    return absl::OkStatus();
  }

  double DatabaseMiB() const {
    double bytes = 0;
    for (const char* name : {"hfwa.db", "hfwa.db-wal"}) {
      std::error_code missing;
      const auto size = fs::file_size(root_ / "data" / name, missing);
      if (!missing) bytes += static_cast<double>(size);
    }
    return bytes / (1 << 20);
  }

  absl::Status RegisterOne(int product) {
    store::Product made;
    made.id = Id(product);
    made.coreset_ratio = arguments_.coreset_ratio;
    HFWA_RETURN_IF_ERROR(engine_->store().CreateProduct(made, {}).status());
    HFWA_ASSIGN_OR_RETURN(auto registration, engine_->Register(made.id));
    for (int k = 0; k < arguments_.references; ++k) {
      const std::string picture =
          Picture(static_cast<uint32_t>(product * arguments_.references + k));
      HFWA_RETURN_IF_ERROR(registration->Add({.encoded = picture, .raw = {}}, "part.png"));
    }
    return registration->Finish({}, [](const auto&) { return std::string(); }).status();
  }

  absl::StatusOr<double> DetectOne(int product) {
    const std::string picture = Picture(1'000'000'000U + static_cast<uint32_t>(product));
    absl::Notification ended;
    absl::Status status;
    engine::DetectCall call;
    call.product_id = Id(product);
    call.image.encoded = picture;
    call.done = [&](const absl::StatusOr<engine::DetectResult>& result) {
      status = result.status();
      ended.Notify();
    };
    const absl::Time begin = absl::Now();
    engine_->Detect(std::move(call));
    ended.WaitForNotification();
    HFWA_RETURN_IF_ERROR(status);
    return absl::ToDoubleMilliseconds(absl::Now() - begin);
  }

  absl::Status DetectAtRandom() {
    std::mt19937 random(7);
    std::vector<double> from_disk, encoded_anew, warm;
    double most = 0;
    for (int i = 0; i < arguments_.detects; ++i) {
      const int product = static_cast<int>(random() % static_cast<uint32_t>(arguments_.products));
      const int64_t before = counter_.images;
      HFWA_ASSIGN_OR_RETURN(const double first, DetectOne(product));
      (counter_.images - before > 1 ? encoded_anew : from_disk).push_back(first);
      HFWA_ASSIGN_OR_RETURN(const double second, DetectOne(product));
      warm.push_back(second);
      most = std::max(most, ResidentMiB());
    }
    std::cout << "first call of a product, features on disk: " << Summary(from_disk)
              << "\nfirst call of a product, features made anew: " << Summary(encoded_anew)
              << "\nwarm: " << Summary(warm)
              << absl::StrFormat(
                     "\nafter that at most %.0f MiB resident (banks may take %.0f), features %.0f "
                     "MiB on disk (may take %.0f)\n",
                     most, arguments_.bank_mib, FolderMiB(root_ / "data/cache"),
                     arguments_.disk_mib);
    const double allowed = arguments_.disk_mib * (1 << 20);
    return FolderMiB(root_ / "data/cache") * (1 << 20) <= allowed
               ? absl::OkStatus()
               : absl::InternalError("the features take more of the disk than they may");
  }

  const Arguments arguments_;
  const fs::path root_;
  Counter counter_;
  std::unique_ptr<engine::Engine> engine_;
};

int Main(int argc, char** argv) {
  // As the server has it.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, -1);
  mallopt(M_TOP_PAD, 64 << 20);
  CLI::App app("Many products through the real engine and store", "hfwa_scale_bench");
  Arguments arguments;
  std::vector<std::string> shapes;
  for (const auto& [name, shape] : kShapes) shapes.push_back(name);
  app.add_option("--products", arguments.products)->check(CLI::Range(1, 1'000'000));
  app.add_option("--references", arguments.references, "Of each product")
      ->check(CLI::Range(1, 256));
  app.add_option("--detects", arguments.detects, "Products drawn, two calls each");
  app.add_option("--shape", arguments.shape)->check(CLI::IsMember(shapes));
  app.add_option("--precision", arguments.precision);
  app.add_option("--bank-cache", arguments.bank_mib, "MiB");
  app.add_option("--feature-cache", arguments.disk_mib, "MiB");
  app.add_option("--coreset-ratio", arguments.coreset_ratio)->check(CLI::Range(0.001, 1.0));
  app.add_option("--folder", arguments.folder,
                 "Where the data go; a new one that is removed at the end");
  CLI11_PARSE(app, argc, argv);
  const bool own = arguments.folder.empty();
  if (own) {
    std::string name = (fs::temp_directory_path() / "hfwa-scale-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) return 1;
    arguments.folder = name;
  }
  std::cout << MachineName() << ", shape " << arguments.shape << ", " << arguments.precision << ", "
            << arguments.references << " references a product\n";
  const absl::Status status = Scale(arguments).Run();
  if (own) fs::remove_all(arguments.folder);
  if (status.ok()) return 0;
  std::cerr << status << "\n";
  return 1;
}

}  // namespace
}  // namespace hfwa::bench

int main(int argc, char** argv) { return hfwa::bench::Main(argc, argv); }
