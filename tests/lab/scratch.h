#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "core/image/render.h"

namespace hfwa::lab {

// A folder of a test's own, gone with it.
class Scratch {
 public:
  Scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "hfwa_lab_XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    root_ = name;
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const std::string& root() const { return root_; }
  std::string path(const std::string& name) const { return root_ + "/" + name; }

  // A file and the folders above it.
  void Write(const std::string& name, const std::string& bytes) const {
    const std::filesystem::path file = path(name);
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << bytes;
  }
  // A grey picture as a PNG; values[y * width + x].
  void WriteGrey(const std::string& name, int width, int height,
                 const std::vector<uint8_t>& values) const {
    Write(name, *image::EncodePngGrey8(values, width, height));
  }

 private:
  std::string root_;
};

}  // namespace hfwa::lab
