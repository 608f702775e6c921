#include "core/engine/registration.h"

#include <cstdint>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/status_macros.h"
#include "core/engine/image_input.h"
#include "core/image/render.h"

namespace hfwa::engine {
namespace {

// A registration waits so long for room beside calls that are under way.
constexpr absl::Duration kRoomPatience = absl::Seconds(30);

// What is kept of an image: the file as it came, or raw pixels as a PNG that decodes to the same
// picture.
struct StoredForm {
  std::string bytes;
  std::string_view media_type;
};

absl::StatusOr<StoredForm> ToStoredForm(const ImageInput& input, const image::Image& picture,
                                        const image::DecodeOptions& options) {
  if (!input.raw.has_value()) {
    HFWA_ASSIGN_OR_RETURN(const image::Header header,
                          image::ReadHeader(input.encoded, options.limits));
    return StoredForm{std::string(input.encoded), image::MediaType(header.format)};
  }
  HFWA_ASSIGN_OR_RETURN(std::string png, image::EncodePng(picture));
  return StoredForm{std::move(png), image::MediaType(image::Format::kPng)};
}

bool RefusesThisImageAlone(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsFailedPrecondition(status);
}

}  // namespace

absl::StatusOr<store::Reference> LocalRegistration::Accept(const ImageInput& image,
                                                           const std::string& source_name) {
  const int each = store::PicturesPerReference(product_.method);
  const int pictures = each > 1 ? 2 : 1;  // at a time: as it came, and turned
  HFWA_ASSIGN_OR_RETURN(
      const std::unique_ptr<Admission::Place> place,
      parts_.admission->TakeWaiting(
          {.lane = batching::Lane::kRegister,
           .product = std::hash<std::string>{}(product_.id),
           .bytes = BytesOf(image) + pictures * PictureBytes(image, parts_.decode) +
                    parts_.buffers->bytes()},
          kRoomPatience));
  place->Arrived();  // its deadline is nobody's concern
  HFWA_ASSIGN_OR_RETURN(const image::Image picture, DecodeInput(image, parts_.decode));
  const int references_max = parts_.references_max / each;
  if (static_cast<int>(leases_.size()) >= references_max) {
    return Annotate(absl::FailedPreconditionError(
                        absl::StrCat("a product may have at most ", references_max, " references")),
                    "TOO_MANY_REFERENCES");
  }
  HFWA_ASSIGN_OR_RETURN(const StoredForm form, ToStoredForm(image, picture, parts_.decode));
  HFWA_ASSIGN_OR_RETURN(auto lease, parts_.store->PutObject(form.bytes));
  store::Reference reference;
  reference.sha256 = lease->sha256();
  reference.id = "r" + reference.sha256.substr(0, 32);
  reference.size_bytes = static_cast<int64_t>(form.bytes.size());
  reference.media_type = std::string(form.media_type);
  reference.width = picture.width;
  reference.height = picture.height;
  reference.source_name = source_name;
  leases_.push_back(std::move(lease));
  HFWA_RETURN_IF_ERROR(parts_.features->Encode(reference.sha256, picture, product_.method,
                                               parts_.model->ClassIndex(product_.class_name)));
  return reference;
}

absl::Status LocalRegistration::Add(const ImageInput& image, const std::string& source_name) {
  absl::StatusOr<store::Reference> accepted = Accept(image, source_name);
  if (!accepted.ok() && !RefusesThisImageAlone(accepted.status())) return accepted.status();
  Item item;
  item.status = accepted.status();
  if (accepted.ok()) item.reference = *std::move(accepted);
  items_.push_back(std::move(item));
  return items_.back().status;
}

absl::StatusOr<Registration::Outcome> LocalRegistration::Finish(
    const store::Retry& retry, const std::function<std::string(const Outcome&)>& make_reply) {
  std::vector<store::Reference> accepted;
  for (const Item& item : items_) {
    if (item.status.ok()) accepted.push_back(item.reference);
  }
  const auto to_outcome = [this](const store::Store::Registration& registration) {
    Outcome outcome{.product = registration.product, .items = items_};
    size_t next = 0;
    for (Item& item : outcome.items) {
      if (!item.status.ok()) continue;
      item.reference = registration.references[next];
      item.duplicate = registration.duplicate[next];
      ++next;
    }
    return outcome;
  };
  HFWA_ASSIGN_OR_RETURN(
      const store::Store::Registration registration,
      parts_.store->AddReferences(
          product_.id, std::move(accepted), parts_.references_max, retry,
          [&](const store::Store::Registration& r) { return make_reply(to_outcome(r)); }));
  leases_.clear();
  HFWA_RETURN_IF_ERROR(parts_.banks->Refresh(registration.product));
  return to_outcome(registration);
}

}  // namespace hfwa::engine
