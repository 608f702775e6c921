#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/engine/admission.h"
#include "core/engine/encoder.h"
#include "core/engine/engine.h"
#include "core/engine/product_banks.h"
#include "core/image/decode.h"
#include "core/store/store.h"

namespace hfwa::engine {

// A registration over store, encoder and banks, which outlive it.
class LocalRegistration final : public Registration {
 public:
  struct Parts {
    store::Store* store;
    ProductBanks* banks;
    ReferenceFeatures* features;
    const model::Hfwa* model;
    Admission* admission;
    TensorPool* buffers;
    image::DecodeOptions decode;
    int references_max;
  };

  LocalRegistration(const Parts& parts, store::Product product)
      : parts_(parts), product_(std::move(product)) {}

  absl::Status Add(const ImageInput& image, const std::string& source_name) override;
  absl::StatusOr<Outcome> Finish(
      const store::Retry& retry,
      const std::function<std::string(const Outcome&)>& make_reply) override;

 private:
  absl::StatusOr<store::Reference> Accept(const ImageInput& image, const std::string& source_name);

  const Parts parts_;
  const store::Product product_;
  std::vector<Item> items_;
  std::vector<std::unique_ptr<store::Store::ObjectLease>> leases_;
};

}  // namespace hfwa::engine
