#include <algorithm>
#include <array>
#include <filesystem>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/status_macros.h"
#include "lab/data/layouts.h"

namespace hfwa::lab::internal {
namespace {

namespace fs = std::filesystem;
using Split = SetBuilder::Split;

bool IsImageName(const std::string& name) {
  static constexpr std::array<const char*, 7> kExtensions = {".png",  ".jpg", ".jpeg", ".bmp",
                                                             ".tiff", ".tif", ".webp"};
  const std::string extension = absl::AsciiStrToLower(fs::path(name).extension().string());
  return std::find(kExtensions.begin(), kExtensions.end(), extension) != kExtensions.end();
}

// Sorted bytewise: the file system's own order differs between machines.
template <typename Wanted>
std::vector<std::string> List(const std::string& folder, const Wanted& wanted) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::string name = it->path().filename().string();
    if (name.front() != '.' && wanted(*it, name)) names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string Stem(const std::string& name) { return fs::path(name).stem().string(); }

bool IsNormalKind(const std::string& kind) { return kind == "good" || kind == "ok"; }

// The name of the mask of `image` among those of its kind; empty if there is none.
std::string MaskOf(const std::string& image, const std::vector<std::string>& masks) {
  const std::string stem = Stem(image);
  for (const std::string& wanted : {stem + "_mask", stem}) {
    for (const std::string& mask : masks) {
      if (Stem(mask) == wanted) return mask;
    }
  }
  return "";
}

// One class in MVTec's folders. `prefix` is "" or "CLASS/".
void AddMvtecClass(const std::string& root, const std::string& prefix, SetBuilder& builder) {
  const auto below = [&](const std::string& path) { return absl::StrCat(root, "/", prefix, path); };
  for (const std::string& kind : ListFolders(below("train"))) {
    for (const std::string& name : ListImages(below("train/" + kind))) {
      builder.Add(Split::kTrain, {.image = absl::StrCat(prefix, "train/", kind, "/", name),
                                  .mask = "",
                                  .class_name = "",
                                  .kind = IsNormalKind(kind) ? "good" : kind,
                                  .anomalous = !IsNormalKind(kind)});
    }
  }
  for (const std::string& kind : ListFolders(below("test"))) {
    const bool normal = IsNormalKind(kind);
    const std::vector<std::string> masks =
        normal ? std::vector<std::string>() : ListImages(below("ground_truth/" + kind));
    for (const std::string& name : ListImages(below("test/" + kind))) {
      std::string mask = MaskOf(name, masks);
      if (!mask.empty()) mask = absl::StrCat(prefix, "ground_truth/", kind, "/", mask);
      builder.Add(Split::kTest, {.image = absl::StrCat(prefix, "test/", kind, "/", name),
                                 .mask = mask,
                                 .class_name = "",
                                 .kind = normal ? "good" : kind,
                                 .anomalous = !normal});
    }
  }
}

bool IsMvtecClass(const std::string& folder) {
  return IsFolder(folder + "/train") && IsFolder(folder + "/test");
}

// A class that is the folder itself is called after it.
std::string FolderName(const std::string& root) {
  std::error_code error;
  return fs::canonical(root, error).filename().string();
}

}  // namespace

bool IsFolder(const std::string& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

std::vector<std::string> ListFolders(const std::string& folder) {
  return List(folder, [](const fs::directory_entry& entry, const std::string&) {
    std::error_code error;
    return entry.is_directory(error);
  });
}

std::vector<std::string> ListImages(const std::string& folder) {
  return List(folder, [](const fs::directory_entry& entry, const std::string& name) {
    std::error_code error;
    return IsImageName(name) && !entry.is_directory(error);
  });
}

bool HasMvtecFolders(const std::string& root) {
  if (IsMvtecClass(root)) return true;
  const std::vector<std::string> folders = ListFolders(root);
  return std::any_of(folders.begin(), folders.end(), [&](const std::string& name) {
    return IsMvtecClass(absl::StrCat(root, "/", name));
  });
}

absl::StatusOr<DataSet> ReadMvtecFolders(const std::string& root) {
  HFWA_ASSIGN_OR_RETURN(SetBuilder builder, SetBuilder::Create(root, "MVTec folders"));
  if (IsMvtecClass(root)) {
    if (builder.StartClass(FolderName(root))) AddMvtecClass(root, "", builder);
    return builder.Finish();
  }
  for (const std::string& name : ListFolders(root)) {
    if (!IsMvtecClass(absl::StrCat(root, "/", name))) continue;
    if (builder.StartClass(name)) AddMvtecClass(root, name + "/", builder);
  }
  return builder.Finish();
}

bool HasTextile(const std::string& root) {
  return IsFolder(root + "/nominal") && IsFolder(root + "/local") && IsFolder(root + "/global");
}

absl::StatusOr<DataSet> ReadTextile(const std::string& root) {
  HFWA_ASSIGN_OR_RETURN(SetBuilder builder, SetBuilder::Create(root, "simulated textile"));
  if (!builder.StartClass("textile")) return builder.Finish();
  const auto add = [&](Split split, const char* folder, int first, int last) {
    const bool good = std::string(folder) == "nominal";
    for (int i = first; i <= last; ++i) {
      builder.Add(split, {.image = absl::StrFormat("%s/textile_%04d.jpg", folder, i),
                          .mask = "",
                          .class_name = "",
                          .kind = good ? "good" : folder,
                          .anomalous = !good});
    }
  };
  add(Split::kTrain, "nominal", 1, 60);
  add(Split::kTest, "nominal", 501, 600);
  add(Split::kTest, "local", 1, 100);
  add(Split::kTest, "global", 1, 100);
  return builder.Finish();
}

bool HasGoodFolder(const std::string& root) { return IsFolder(root + "/good"); }

absl::StatusOr<DataSet> ReadGoodFolder(const std::string& root) {
  HFWA_ASSIGN_OR_RETURN(SetBuilder builder, SetBuilder::Create(root, "folders of kinds"));
  if (!builder.StartClass(FolderName(root))) return builder.Finish();
  for (const std::string& kind : ListFolders(root)) {
    const std::vector<std::string> names = ListImages(absl::StrCat(root, "/", kind));
    const bool good = kind == "good";
    // Neighbours are often one part seen twice, so the halves are not interleaved.
    const size_t train = good ? names.size() / 2 : 0;
    for (size_t i = 0; i < names.size(); ++i) {
      builder.Add(i < train ? Split::kTrain : Split::kTest,
                  {.image = absl::StrCat(kind, "/", names[i]),
                   .mask = "",
                   .class_name = "",
                   .kind = kind,
                   .anomalous = !good});
    }
  }
  return builder.Finish();
}

}  // namespace hfwa::lab::internal
