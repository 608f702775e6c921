#pragma once

#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace hfwa::lab::train {

// Scalars in the file format that TensorBoard reads: TFRecord frames (length and CRC-32C, masked)
// of Event messages. Their few fields are encoded by hand, for no message library may be used here.
class EventLog {
 public:
  // A new file in `directory`; TensorBoard reads all of a folder as one run.
  absl::Status Open(const std::string& directory);
  void Scalar(std::string_view tag, int64_t step, double value);
  void Flush() { out_.flush(); }

 private:
  void Write(const std::string& event);
  std::ofstream out_;
};

// CRC-32C (Castagnoli) of the bytes.
uint32_t Crc32c(std::string_view bytes);

}  // namespace hfwa::lab::train
