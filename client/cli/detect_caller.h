#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/bench/load_generator.h"
#include "client/client.h"

namespace hfwa::cli {

// Sends Detect for a load generator: each request is one unary call, never tried again.
//
// Requests are serialized once, before any is sent, and their bytes shared by all that are
// outstanding, so that sending costs neither time nor memory that a camera's client would not need.
class DetectCaller final : public bench::Caller {
 public:
  // Connects `connections` times and waits until all stand. `outputs`: what each request asks for.
  static absl::StatusOr<std::unique_ptr<DetectCaller>> Connect(
      const client::ClientOptions& options, size_t connections, absl::Duration deadline,
      const v1::DetectOutputs& outputs, const std::vector<std::string>& products,
      std::vector<v1::Image> pictures);
  ~DetectCaller() override;

  void Call(const bench::Pick& pick, Done done) override;
  void CancelAll() override;

  // Of all pictures together.
  size_t picture_bytes() const { return picture_bytes_; }

 private:
  struct Impl;
  explicit DetectCaller(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
  size_t picture_bytes_ = 0;
};

}  // namespace hfwa::cli
