#pragma once

#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace hfwa::cli {

// True for the extensions of the formats that the server reads, in any case: jpg, jpeg, png, bmp,
// tif, tiff, webp.
bool HasImageExtension(const std::filesystem::path& file);

// Files as given, folders as the image files in and below them, sorted; hidden ones and links to
// folders are passed over. NOT_FOUND for a path that does not exist or a folder without images.
absl::StatusOr<std::vector<std::filesystem::path>> CollectImages(
    const std::vector<std::string>& paths);

// Writes `bytes` under `file` in one step: other programs see all of it or nothing.
absl::Status WriteFile(const std::filesystem::path& file, const std::string& bytes);

// Gives each input file a name of its own for output: its stem, with "-2", "-3" where taken.
class OutputNames {
 public:
  std::string For(const std::filesystem::path& file);

 private:
  std::unordered_map<std::string, std::string> owners_;  // Name to the input that has it.
};

}  // namespace hfwa::cli
