#include "client/cli/files.h"

#include <algorithm>
#include <fstream>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace hfwa::cli {
namespace {

namespace fs = std::filesystem;

absl::Status Error(const fs::path& path, const std::error_code& error) {
  return absl::ErrnoToStatus(error.value(), path.string());
}

bool IsHidden(const fs::path& path) {
  const std::string name = path.filename().string();
  return !name.empty() && name[0] == '.';
}

absl::StatusOr<std::vector<fs::path>> ImagesBelow(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  fs::recursive_directory_iterator entry(folder, error);
  for (const fs::recursive_directory_iterator end; !error && entry != end; entry.increment(error)) {
    std::error_code unreadable;
    if (IsHidden(entry->path())) {
      if (entry->is_directory(unreadable)) entry.disable_recursion_pending();
    } else if (HasImageExtension(entry->path()) && entry->is_regular_file(unreadable)) {
      found.push_back(entry->path());
    }
  }
  if (error) return Error(folder, error);
  if (found.empty()) {
    return absl::NotFoundError(absl::StrCat(folder.string(), ": no image files in this folder"));
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace

bool HasImageExtension(const fs::path& file) {
  const std::string extension = absl::AsciiStrToLower(file.extension().string());
  for (const char* known : {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}) {
    if (extension == known) return true;
  }
  return false;
}

absl::StatusOr<std::vector<fs::path>> CollectImages(const std::vector<std::string>& paths) {
  std::vector<fs::path> images;
  for (const std::string& given : paths) {
    const fs::path path(given);
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (status.type() == fs::file_type::not_found) {
      return absl::NotFoundError(absl::StrCat(given, ": no such file or folder"));
    }
    if (error) return Error(path, error);
    if (!fs::is_directory(status)) {
      images.push_back(path);
      continue;
    }
    HFWA_ASSIGN_OR_RETURN(std::vector<fs::path> found, ImagesBelow(path));
    images.insert(images.end(), found.begin(), found.end());
  }
  return images;
}

absl::Status WriteFile(const fs::path& file, const std::string& bytes) {
  fs::path temporary = file.parent_path() / absl::StrCat(".", file.filename().string(), ".part");
  {
    std::ofstream out(temporary, std::ios::binary | std::ios::trunc);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    out.close();
    if (!out) return absl::UnknownError(absl::StrCat("cannot write ", temporary.string()));
  }
  std::error_code error;
  fs::rename(temporary, file, error);
  if (!error) return absl::OkStatus();
  std::error_code ignored;
  fs::remove(temporary, ignored);
  return Error(file, error);
}

std::string OutputNames::For(const fs::path& file) {
  const std::string stem = file.stem().string();
  for (int number = 1;; ++number) {
    std::string name = number == 1 ? stem : absl::StrCat(stem, "-", number);
    const auto [entry, fresh] = owners_.emplace(name, file.string());
    if (fresh || entry->second == file.string()) return name;
  }
}

}  // namespace hfwa::cli
