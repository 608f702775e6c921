#pragma once

// The safetensors format: an eight-byte length, a JSON header, raw little-endian tensors.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "core/model/mapped_file.h"

namespace hfwa::model {

// One tensor of a file: where its bytes lie, not yet converted.
struct TensorView {
  at::ScalarType dtype;
  std::vector<int64_t> shape;
  std::string_view bytes;  // row-major, of any alignment
};

// A checked header over mapped bytes. Every offset was checked against the file: tensors lie one
// after the other without overlap or gap and fill it, names are unique, shapes agree with byte
// counts. A file cut anywhere is refused. Immutable, so usable by several threads. The file must
// not shrink while it is open.
class SafetensorsFile {
 public:
  // NOT_FOUND or INVALID_ARGUMENT; messages name the file and, where one is at fault, the tensor.
  static absl::StatusOr<SafetensorsFile> Open(const std::string& path);
  // The same over bytes that outlive the result; `name` stands for the file in messages.
  static absl::StatusOr<SafetensorsFile> Parse(std::string_view bytes, const std::string& name);

  const std::map<std::string, TensorView>& tensors() const { return tensors_; }
  bool Has(const std::string& name) const { return tensors_.count(name) > 0; }
  const std::string& path() const { return path_; }
  // The whole file.
  std::string_view bytes() const { return bytes_; }

  // A copy in the stored type; NOT_FOUND names file and tensor.
  absl::StatusOr<at::Tensor> Read(const std::string& name) const;
  // A copy widened (or, from 64 bits, rounded) to fp32.
  absl::StatusOr<at::Tensor> ReadFp32(const std::string& name) const;

 private:
  SafetensorsFile() = default;
  absl::Status ParseHeader();

  std::shared_ptr<const MappedFile> file_;
  std::string path_;
  std::string_view bytes_;
  std::map<std::string, TensorView> tensors_;
};

// Every tensor of a file: floating-point ones as fp32, whole numbers as int64.
absl::StatusOr<std::map<std::string, at::Tensor>> ReadAllTensors(const std::string& path);

// Writes CPU tensors of any type that the format knows, in the order of their names, under a
// temporary name that is then renamed.
absl::Status WriteSafetensors(const std::string& path,
                              const std::map<std::string, at::Tensor>& tensors);

}  // namespace hfwa::model
