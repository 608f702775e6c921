#include "lab/image_set.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/status_macros.h"
#include "lab/fixture.h"

namespace hfwa::lab {
namespace {

namespace fs = std::filesystem;

absl::StatusOr<ImageSet> ReadMeta(const fs::path& folder) {
  HFWA_ASSIGN_OR_RETURN(const nlohmann::json meta, ReadJson((folder / "meta.json").string()));
  ImageSet set;
  try {
    for (const auto& [name, images] : meta.at("train").items()) {
      for (const auto& image : images) {
        if (image.at("anomaly").get<int>() != 0) continue;
        set.pool.push_back((folder / image.at("img_path").get<std::string>()).string());
      }
    }
    for (const auto& [name, images] : meta.at("test").items()) {
      for (const auto& image : images) {
        const bool good = image.at("anomaly").get<int>() == 0;
        set.tests.push_back({(folder / image.at("img_path").get<std::string>()).string(),
                             good ? "good" : image.at("specie_name").get<std::string>()});
      }
    }
  } catch (const nlohmann::json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat("meta.json: ", error.what()));
  }
  return set;
}

ImageSet TextileSet(const fs::path& folder) {
  const auto path = [&folder](const char* kind, int number) {
    return (folder / kind / absl::StrFormat("textile_%04d.jpg", number)).string();
  };
  ImageSet set;
  for (int i = 1; i <= 60; ++i) set.pool.push_back(path("nominal", i));
  for (int i = 501; i <= 600; ++i) set.tests.push_back({path("nominal", i), "good"});
  for (const char* kind : {"local", "global"}) {
    for (int i = 1; i <= 100; ++i) set.tests.push_back({path(kind, i), kind});
  }
  return set;
}

}  // namespace

absl::StatusOr<ImageSet> ReadImageSet(const std::string& folder) {
  const fs::path path = folder;
  if (fs::exists(path / "meta.json")) return ReadMeta(path);
  if (fs::is_directory(path / "nominal") && fs::is_directory(path / "local") &&
      fs::is_directory(path / "global")) {
    return TextileSet(path);
  }
  return absl::NotFoundError(
      absl::StrCat(folder, " holds neither meta.json nor nominal/, local/ and global/"));
}

}  // namespace hfwa::lab
