#include "server/validate.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/strings.h"
#include "server/convert.h"

namespace hfwa::server {
namespace {

constexpr std::string_view kIdRule = "must match [a-z][a-z0-9-]{0,62}";
constexpr std::string_view kProducts = "products/";
constexpr std::string_view kReferences = "/references/";

bool IsLowerHex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

}  // namespace

bool IsId(std::string_view id) {
  if (id.empty() || id.size() > 63 || id[0] < 'a' || id[0] > 'z') return false;
  return std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

bool IsReferenceId(std::string_view id) {
  return id.size() == 33 && id[0] == 'r' && std::all_of(id.begin() + 1, id.end(), IsLowerHex);
}

bool IsUuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    const char c = absl::ascii_tolower(static_cast<unsigned char>(text[i]));
    if (dash ? text[i] != '-' : !IsLowerHex(c)) return false;
  }
  return true;
}

std::string CheckProductName(std::string_view name, const std::string& field,
                             Violations* violations) {
  if (name.starts_with(kProducts) && IsId(name.substr(kProducts.size()))) {
    return std::string(name.substr(kProducts.size()));
  }
  violations->Add(field, absl::StrCat("must be products/{product}, where {product} ",
                                      ToAbsl(kIdRule), "; got ", Quote(name)));
  return "";
}

ReferenceName CheckReferenceName(std::string_view name, const std::string& field,
                                 Violations* violations) {
  if (name.starts_with(kProducts)) {
    const std::string_view rest = name.substr(kProducts.size());
    const size_t slash = rest.find(kReferences);
    if (slash != std::string_view::npos) {
      const std::string_view product = rest.substr(0, slash);
      const std::string_view reference = rest.substr(slash + kReferences.size());
      if (IsId(product) && IsReferenceId(reference))
        return {std::string(product), std::string(reference)};
    }
  }
  violations->Add(
      field, absl::StrCat("must be products/{product}/references/{reference}; got ", Quote(name)));
  return {};
}

void CheckText(std::string_view text, size_t max_bytes, const std::string& field,
               Violations* violations) {
  if (text.size() > max_bytes) {
    violations->Add(field, absl::StrCat("must be at most ", max_bytes, " bytes, is ", text.size()));
  } else if (!IsValidUtf8(text)) {
    violations->Add(field, "must be UTF-8");
  } else if (HasControlCharacter(text)) {
    violations->Add(field, "must not hold control characters");
  }
}

void CheckLabels(const ProtoLabels& labels, const std::string& field, Violations* violations) {
  if (labels.size() > 32) {
    violations->Add(field, absl::StrCat("must be at most 32 pairs, are ", labels.size()));
    return;
  }
  for (const auto& [key, value] : labels) {
    const std::string shown =
        absl::StrCat(field, "[", Quote(std::string_view(key).substr(0, 63)), "]");
    if (key.empty()) violations->Add(shown, "the key must not be empty");
    CheckText(key, 63, shown, violations);
    CheckText(value, 255, shown, violations);
  }
}

void CheckThreshold(double threshold, const std::string& field, Violations* violations) {
  // Written so that NaN fails.
  if (!(threshold >= 0 && threshold <= 1)) violations->Add(field, "must be a number from 0 to 1");
}

std::string CheckRequestId(std::string_view request_id, Violations* violations) {
  if (!request_id.empty() && !IsUuid(request_id)) {
    violations->Add("request_id", absl::StrCat("must be a UUID; got ", Quote(request_id)));
    return "";
  }
  return absl::AsciiStrToLower(ToAbsl(request_id));
}

void CheckEtag(std::string_view etag, const std::string& field, Violations* violations) {
  CheckText(etag, 128, field, violations);
}

int CheckPageSize(int32_t page_size, Violations* violations) {
  if (page_size < 0) violations->Add("page_size", "must not be negative");
  return page_size <= 0 ? 50 : std::min(page_size, 1000);
}

void CheckProductFields(const v1::Product& product, Violations* violations) {
  CheckText(product.display_name(), 255, "product.display_name", violations);
  CheckText(product.class_name(), 63, "product.class_name", violations);
  CheckLabels(product.labels(), "product.labels", violations);
  if (product.has_threshold()) CheckThreshold(product.threshold(), "product.threshold", violations);
  // Written so that NaN fails.
  if (product.has_coreset_ratio() &&
      !(product.coreset_ratio() > 0 && product.coreset_ratio() <= 1)) {
    violations->Add("product.coreset_ratio", "must be more than 0 and at most 1");
  }
  if (!v1::Product::Method_IsValid(product.method())) {
    violations->Add("product.method", "must be HFWA or ANOMALY_DINO");
  }
}

store::ProductPatch CheckUpdateMask(const v1::UpdateProductRequest& request,
                                    Violations* violations) {
  const v1::Product& product = request.product();
  const auto& paths = request.update_mask().paths();
  const auto named = [&](std::string_view field) {
    return std::any_of(paths.begin(), paths.end(),
                       [&](const std::string& path) { return path == field; });
  };
  const bool all = named("*");
  if (all && paths.size() > 1) violations->Add("update_mask", "\"*\" stands alone");
  int shown = 0;
  for (const std::string& path : paths) {
    if (path == "*" || path == "display_name" || path == "class_name" || path == "labels" ||
        path == "threshold" || path == "coreset_ratio" || path == "method") {
      continue;
    }
    if (++shown > 4) break;
    violations->Add("update_mask", absl::StrCat(Quote(path), " is no field that can be updated"));
  }
  const bool none = paths.empty();
  store::ProductPatch patch;
  if (all || named("display_name") || (none && !product.display_name().empty())) {
    patch.display_name = product.display_name();
  }
  if (all || named("class_name") || (none && !product.class_name().empty())) {
    patch.class_name = product.class_name().empty() ? "object" : product.class_name();
  }
  if (all || named("labels") || (none && !product.labels().empty())) {
    patch.labels.emplace(product.labels().begin(), product.labels().end());
  }
  if (all || named("threshold") || (none && product.has_threshold())) {
    patch.threshold =
        product.has_threshold() ? std::optional<double>(product.threshold()) : std::nullopt;
  }
  if (all || named("coreset_ratio") || (none && product.has_coreset_ratio())) {
    patch.coreset_ratio = product.has_coreset_ratio() ? product.coreset_ratio() : 1;
  }
  if (all || named("method") || (none && product.method() != v1::Product::METHOD_UNSPECIFIED)) {
    patch.method = MethodOf(product.method());
  }
  return patch;
}

engine::ImageInput CheckImage(const v1::Image& image, const std::string& field, int64_t max_bytes,
                              Violations* violations) {
  engine::ImageInput input;
  if (image.has_content()) {
    if (image.content().empty()) violations->Add(field + ".content", "must not be empty");
    if (static_cast<int64_t>(image.content().size()) > max_bytes) {
      violations->Add(field + ".content", absl::StrCat("must be at most ", max_bytes, " bytes"));
    }
    input.encoded = image.content();
    return input;
  }
  if (!image.has_raw()) {
    violations->Add(field, "must hold content or raw");
    return input;
  }
  const v1::RawImage& raw = image.raw();
  if (raw.width() <= 0) violations->Add(field + ".raw.width", "must be positive");
  if (raw.height() <= 0) violations->Add(field + ".raw.height", "must be positive");
  if (raw.stride() < 0) violations->Add(field + ".raw.stride", "must not be negative");
  if (raw.format() < v1::RawImage::GRAY8 || raw.format() > v1::RawImage::BAYER_GB8) {
    violations->Add(field + ".raw.format", "must be one of the known formats");
  }
  if (static_cast<int64_t>(raw.data().size()) > max_bytes) {
    violations->Add(field + ".raw.data", absl::StrCat("must be at most ", max_bytes, " bytes"));
  }
  // The contract's numbers are image::PixelFormat's plus one.
  static_assert(v1::RawImage::GRAY8 - 1 == static_cast<int>(image::PixelFormat::kGray8));
  static_assert(v1::RawImage::GRAY16 - 1 == static_cast<int>(image::PixelFormat::kGray16));
  static_assert(v1::RawImage::RGB8 - 1 == static_cast<int>(image::PixelFormat::kRgb8));
  static_assert(v1::RawImage::BGR8 - 1 == static_cast<int>(image::PixelFormat::kBgr8));
  static_assert(v1::RawImage::RGBA8 - 1 == static_cast<int>(image::PixelFormat::kRgba8));
  static_assert(v1::RawImage::BGRA8 - 1 == static_cast<int>(image::PixelFormat::kBgra8));
  static_assert(v1::RawImage::BAYER_RG8 - 1 == static_cast<int>(image::PixelFormat::kBayerRg8));
  static_assert(v1::RawImage::BAYER_BG8 - 1 == static_cast<int>(image::PixelFormat::kBayerBg8));
  static_assert(v1::RawImage::BAYER_GR8 - 1 == static_cast<int>(image::PixelFormat::kBayerGr8));
  static_assert(v1::RawImage::BAYER_GB8 - 1 == static_cast<int>(image::PixelFormat::kBayerGb8));
  input.raw = image::RawPixels{.width = raw.width(),
                               .height = raw.height(),
                               .stride = raw.stride(),
                               .format = static_cast<image::PixelFormat>(raw.format() - 1),
                               .data = raw.data()};
  return input;
}

}  // namespace hfwa::server
