#pragma once

// Rules of the contract's fields. Each check adds what it finds to a Violations and leaves the
// value alone.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/engine/engine.h"
#include "core/store/store.h"
#include "hfwa/v1/image.pb.h"
#include "hfwa/v1/product_service.pb.h"
#include "server/errors.h"

namespace hfwa::server {

using ProtoLabels = google::protobuf::Map<std::string, std::string>;

class Violations {
 public:
  void Add(std::string field, std::string description) {
    found_.push_back({std::move(field), std::move(description)});
  }
  bool empty() const { return found_.empty(); }
  // OK if nothing was found.
  absl::Status status() const { return found_.empty() ? absl::OkStatus() : InvalidFields(found_); }

 private:
  std::vector<FieldViolation> found_;
};

// [a-z][a-z0-9-]{0,62}
bool IsId(std::string_view id);
// "r" and 32 lower-case hexadecimal digits.
bool IsReferenceId(std::string_view id);
bool IsUuid(std::string_view text);

struct ReferenceName {
  std::string product_id;
  std::string reference_id;
};
// Parts of a resource name; empty, and a violation, if it is none.
std::string CheckProductName(std::string_view name, const std::string& field,
                             Violations* violations);
ReferenceName CheckReferenceName(std::string_view name, const std::string& field,
                                 Violations* violations);

void CheckText(std::string_view text, size_t max_bytes, const std::string& field,
               Violations* violations);
void CheckLabels(const ProtoLabels& labels, const std::string& field, Violations* violations);
void CheckThreshold(double threshold, const std::string& field, Violations* violations);
// Lower case; empty stays empty.
std::string CheckRequestId(std::string_view request_id, Violations* violations);
void CheckEtag(std::string_view etag, const std::string& field, Violations* violations);
// 0 becomes 50, more than 1000 becomes 1000.
int CheckPageSize(int32_t page_size, Violations* violations);

// display_name, class_name, labels and threshold of a product.
void CheckProductFields(const v1::Product& product, Violations* violations);
// Which fields an update changes, with their values.
store::ProductPatch CheckUpdateMask(const v1::UpdateProductRequest& request,
                                    Violations* violations);

// The picture as the engine takes it, viewing into `image`. Content is judged by the engine; here
// only what needs no pixel: a source is there, enums are known, sizes fit the limit.
engine::ImageInput CheckImage(const v1::Image& image, const std::string& field, int64_t max_bytes,
                              Violations* violations);

}  // namespace hfwa::server
