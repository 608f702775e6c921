#include "core/store/outcome.h"

#include <nlohmann/json.hpp>

namespace hfwa::store {
namespace {

using nlohmann::json;

json ToJson(const Product& p) {
  json j = {{"id", p.id},
            {"uid", p.uid},
            {"display_name", p.display_name},
            {"class_name", p.class_name},
            {"labels", p.labels},
            {"revision", p.revision},
            {"reference_count", p.reference_count},
            {"create_time", absl::ToUnixMicros(p.create_time)},
            {"update_time", absl::ToUnixMicros(p.update_time)},
            {"etag", p.etag}};
  if (p.threshold.has_value()) j["threshold"] = *p.threshold;
  if (p.coreset_ratio != 1) j["coreset_ratio"] = p.coreset_ratio;
  if (p.method != Method::kHfwa) j["method"] = MethodName(p.method);
  return j;
}

Product ProductOf(const json& j) {
  Product p;
  j.at("id").get_to(p.id);
  j.at("uid").get_to(p.uid);
  j.at("display_name").get_to(p.display_name);
  j.at("class_name").get_to(p.class_name);
  j.at("labels").get_to(p.labels);
  j.at("revision").get_to(p.revision);
  j.at("reference_count").get_to(p.reference_count);
  p.create_time = absl::FromUnixMicros(j.at("create_time").get<int64_t>());
  p.update_time = absl::FromUnixMicros(j.at("update_time").get<int64_t>());
  j.at("etag").get_to(p.etag);
  p.coreset_ratio = j.value("coreset_ratio", 1.0);
  p.method = ParseMethod(j.value("method", std::string("hfwa"))).value_or(Method::kHfwa);
  if (j.contains("threshold")) p.threshold = j.at("threshold").get<double>();
  return p;
}

json ToJson(const Reference& r) {
  return {{"id", r.id},
          {"sha256", r.sha256},
          {"size_bytes", r.size_bytes},
          {"media_type", r.media_type},
          {"width", r.width},
          {"height", r.height},
          {"source_name", r.source_name},
          {"create_time", absl::ToUnixMicros(r.create_time)}};
}

Reference ReferenceOf(const json& j) {
  Reference r;
  j.at("id").get_to(r.id);
  j.at("sha256").get_to(r.sha256);
  j.at("size_bytes").get_to(r.size_bytes);
  j.at("media_type").get_to(r.media_type);
  j.at("width").get_to(r.width);
  j.at("height").get_to(r.height);
  j.at("source_name").get_to(r.source_name);
  r.create_time = absl::FromUnixMicros(j.at("create_time").get<int64_t>());
  return r;
}

absl::Status Damaged() { return absl::DataLossError("hfwa.db: a remembered outcome is damaged"); }

}  // namespace

std::string EncodeOutcome(const Product& product) { return ToJson(product).dump(); }

std::string EncodeOutcome(const Store::Registration& registration) {
  json references = json::array();
  for (const Reference& reference : registration.references)
    references.push_back(ToJson(reference));
  return json{{"product", ToJson(registration.product)},
              {"references", std::move(references)},
              {"duplicate", registration.duplicate}}
      .dump();
}

absl::StatusOr<Product> DecodeProduct(const std::string& text) {
  try {
    return ProductOf(json::parse(text));
  } catch (const json::exception&) {
    return Damaged();
  }
}

absl::StatusOr<Store::Registration> DecodeRegistration(const std::string& text) {
  try {
    const json j = json::parse(text);
    Store::Registration registration;
    registration.product = ProductOf(j.at("product"));
    for (const json& reference : j.at("references"))
      registration.references.push_back(ReferenceOf(reference));
    j.at("duplicate").get_to(registration.duplicate);
    if (registration.duplicate.size() != registration.references.size()) return Damaged();
    return registration;
  } catch (const json::exception&) {
    return Damaged();
  }
}

}  // namespace hfwa::store
