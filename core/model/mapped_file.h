#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace hfwa::model {

// A regular file mapped for reading. The file must not shrink while it is mapped.
class MappedFile {
 public:
  // NOT_FOUND where there is no file, INVALID_ARGUMENT where it is not a regular one or cannot be
  // read.
  static absl::StatusOr<std::shared_ptr<const MappedFile>> Open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::string_view bytes() const { return {data_, size_}; }

 private:
  MappedFile(const char* data, size_t size) : data_(data), size_(size) {}
  const char* data_;
  size_t size_;
};

// A small text file as a whole; INVALID_ARGUMENT beyond `max_bytes`.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path, size_t max_bytes);

bool FileExists(const std::string& path);

}  // namespace hfwa::model
