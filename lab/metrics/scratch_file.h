#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace hfwa::lab {

// A file without a name, for what does not fit into memory; gone when the program ends, however it
// ends. One thread writes; reads of what was written may be concurrent.
class ScratchFile {
 public:
  // In `folder`, or the system's folder for temporary files if it is empty. Errors are UNAVAILABLE
  // or RESOURCE_EXHAUSTED, and name the folder.
  static absl::StatusOr<ScratchFile> Create(const std::string& folder);
  ScratchFile(ScratchFile&& other) noexcept;
  ScratchFile& operator=(ScratchFile&& other) noexcept;
  ~ScratchFile();

  uint64_t size() const { return size_; }
  absl::Status Append(const void* data, size_t bytes);
  absl::Status Read(uint64_t offset, void* data, size_t bytes) const;

 private:
  ScratchFile(int descriptor, std::string folder);

  int descriptor_;
  std::string folder_;
  uint64_t size_ = 0;
};

}  // namespace hfwa::lab
