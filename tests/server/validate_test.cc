#include "server/validate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "google/rpc/error_details.pb.h"

namespace hfwa::server {
namespace {

// The first field that `violations` names, or "".
std::string FirstField(const Violations& violations) {
  if (violations.empty()) return "";
  const google::rpc::Status rpc = ToRpcStatus(violations.status(), "r");
  for (const auto& any : rpc.details()) {
    google::rpc::BadRequest bad;
    if (any.UnpackTo(&bad)) return bad.field_violations(0).field();
  }
  return "no BadRequest";
}

TEST(Validate, ids_follow_the_rule) {
  for (const char* good : {"a", "nut", "a-1", "z9-"}) EXPECT_TRUE(IsId(good)) << good;
  EXPECT_TRUE(IsId(std::string(63, 'a')));
  EXPECT_FALSE(IsId(std::string(64, 'a')));
  EXPECT_FALSE(IsId(std::string(10'000, 'a')));
  for (const char* bad : {"", "A", "1a", "-a", "a_b", "a/b", "../x", "a.b", "%2e%2e", "CON", "a b",
                          "a\n", "\xe2\x80\xae", "x'; drop table"}) {
    EXPECT_FALSE(IsId(bad)) << bad;
  }
  EXPECT_FALSE(IsId(std::string_view("a\0b", 3)));
}

TEST(Validate, resource_names_follow_the_rule) {
  Violations none;
  EXPECT_EQ(CheckProductName("products/nut", "name", &none), "nut");
  const std::string reference = "r" + std::string(32, 'a');
  EXPECT_EQ(CheckReferenceName("products/nut/references/" + reference, "name", &none).reference_id,
            reference);
  EXPECT_TRUE(none.empty());
  for (const std::string bad :
       {"", "nut", "products/", "products/Nut", "products/nut/", "/products/nut", "products/../x",
        "products/nut/references/x", "x/products/nut"}) {
    Violations violations;
    EXPECT_EQ(CheckProductName(bad, "name", &violations), "");
    EXPECT_EQ(FirstField(violations), "name") << bad;
  }
  for (const std::string bad :
       {"products/nut", "products/nut/references/", "products/nut/references/r123",
        "products//references/r", "products/nut/references/../../x"}) {
    Violations violations;
    CheckReferenceName(bad, "name", &violations);
    EXPECT_EQ(FirstField(violations), "name") << bad;
  }
}

TEST(Validate, uuids_follow_the_rule) {
  EXPECT_TRUE(IsUuid("123e4567-e89b-42d3-a456-426614174000"));
  EXPECT_TRUE(IsUuid("123E4567-E89B-42D3-A456-426614174000"));
  for (const char* bad :
       {"", "123", "123e4567e89b42d3a456426614174000", "123e4567-e89b-42d3-a456-42661417400g",
        "123e4567-e89b-42d3-a456_426614174000"}) {
    EXPECT_FALSE(IsUuid(bad)) << bad;
  }
  Violations violations;
  EXPECT_EQ(CheckRequestId("123E4567-E89B-42D3-A456-426614174000", &violations),
            "123e4567-e89b-42d3-a456-426614174000");
  EXPECT_EQ(CheckRequestId("", &violations), "");
  EXPECT_TRUE(violations.empty());
  CheckRequestId("x", &violations);
  EXPECT_EQ(FirstField(violations), "request_id");
}

struct ProductCase {
  const char* name;
  std::function<void(v1::Product*)> change;
  const char* field;  // "" if it is fine
};

TEST(Validate, product_fields_follow_their_rules) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  const ProductCase cases[] = {
      {"empty", [](v1::Product*) {}, ""},
      {"longest name", [](v1::Product* p) { p->set_display_name(std::string(255, 'x')); }, ""},
      {"long name", [](v1::Product* p) { p->set_display_name(std::string(256, 'x')); },
       "product.display_name"},
      {"newline", [](v1::Product* p) { p->set_display_name("a\nb"); }, "product.display_name"},
      {"C1 control", [](v1::Product* p) { p->set_display_name("a\xc2\x9b"); },
       "product.display_name"},
      {"umlaut", [](v1::Product* p) { p->set_display_name("Mutter \xc3\xbc"); }, ""},
      {"long class", [](v1::Product* p) { p->set_class_name(std::string(64, 'x')); },
       "product.class_name"},
      {"threshold 0", [](v1::Product* p) { p->set_threshold(0); }, ""},
      {"threshold 1", [](v1::Product* p) { p->set_threshold(1); }, ""},
      {"threshold 1.1", [](v1::Product* p) { p->set_threshold(1.1); }, "product.threshold"},
      {"threshold nan", [=](v1::Product* p) { p->set_threshold(nan); }, "product.threshold"},
      {"threshold inf", [=](v1::Product* p) { p->set_threshold(inf); }, "product.threshold"},
      {"coreset 1", [](v1::Product* p) { p->set_coreset_ratio(1); }, ""},
      {"coreset 0", [](v1::Product* p) { p->set_coreset_ratio(0); }, "product.coreset_ratio"},
      {"coreset 1.1", [](v1::Product* p) { p->set_coreset_ratio(1.1); }, "product.coreset_ratio"},
      {"coreset nan", [=](v1::Product* p) { p->set_coreset_ratio(nan); }, "product.coreset_ratio"},
      {"method", [](v1::Product* p) { p->set_method(v1::Product::ANOMALY_DINO); }, ""},
      {"method 3", [](v1::Product* p) { p->set_method(static_cast<v1::Product::Method>(3)); },
       "product.method"},
      {"threshold -inf", [=](v1::Product* p) { p->set_threshold(-inf); }, "product.threshold"},
      {"label", [](v1::Product* p) { (*p->mutable_labels())["line"] = "7"; }, ""},
      {"longest label",
       [](v1::Product* p) { (*p->mutable_labels())[std::string(63, 'k')] = std::string(255, 'v'); },
       ""},
      {"empty key", [](v1::Product* p) { (*p->mutable_labels())[""] = "7"; },
       "product.labels[\"\"]"},
      {"long value", [](v1::Product* p) { (*p->mutable_labels())["k"] = std::string(256, 'v'); },
       "product.labels[\"k\"]"},
      {"escape in value", [](v1::Product* p) { (*p->mutable_labels())["k"] = "\x1b[1m"; },
       "product.labels[\"k\"]"},
      {"33 labels",
       [](v1::Product* p) {
         for (int i = 0; i < 33; ++i) (*p->mutable_labels())[std::to_string(i)] = "";
       },
       "product.labels"},
  };
  for (const ProductCase& one : cases) {
    v1::Product product;
    one.change(&product);
    Violations violations;
    CheckProductFields(product, &violations);
    EXPECT_EQ(FirstField(violations), one.field) << one.name;
  }
}

TEST(Validate, page_sizes_are_defaulted_and_capped) {
  Violations violations;
  EXPECT_EQ(CheckPageSize(0, &violations), 50);
  EXPECT_EQ(CheckPageSize(7, &violations), 7);
  EXPECT_EQ(CheckPageSize(5000, &violations), 1000);
  EXPECT_TRUE(violations.empty());
  CheckPageSize(-1, &violations);
  EXPECT_EQ(FirstField(violations), "page_size");
}

TEST(Validate, update_mask_names_what_changes) {
  v1::UpdateProductRequest request;
  request.mutable_product()->set_display_name("new");
  Violations none;
  auto patch = CheckUpdateMask(request, &none);  // without a mask: what is set
  EXPECT_EQ(patch.display_name, "new");
  EXPECT_FALSE(patch.class_name.has_value());
  EXPECT_FALSE(patch.threshold.has_value());
  EXPECT_FALSE(patch.method.has_value());
  request.mutable_product()->set_method(v1::Product::ANOMALY_DINO);
  EXPECT_EQ(CheckUpdateMask(request, &none).method, store::Method::kAnomalyDino);
  request.mutable_product()->clear_method();

  request.mutable_update_mask()->add_paths("threshold");  // named and unset: cleared
  request.mutable_update_mask()->add_paths("coreset_ratio");
  request.mutable_update_mask()->add_paths("method");
  patch = CheckUpdateMask(request, &none);
  EXPECT_FALSE(patch.display_name.has_value());
  ASSERT_TRUE(patch.threshold.has_value());
  EXPECT_FALSE(patch.threshold->has_value());
  EXPECT_EQ(patch.coreset_ratio, 1);
  EXPECT_EQ(patch.method, store::Method::kHfwa);

  request.mutable_update_mask()->Clear();
  request.mutable_update_mask()->add_paths("*");
  patch = CheckUpdateMask(request, &none);
  EXPECT_EQ(patch.class_name, "object");
  EXPECT_TRUE(patch.labels.has_value() && patch.labels->empty());
  EXPECT_TRUE(none.empty());

  for (const char* bad : {"etag", "name", "labels.x", "", "effective_threshold", "*"}) {
    v1::UpdateProductRequest other;
    other.mutable_update_mask()->add_paths("display_name");
    other.mutable_update_mask()->add_paths(bad);
    Violations violations;
    CheckUpdateMask(other, &violations);
    EXPECT_EQ(FirstField(violations), "update_mask") << bad;
  }
}

TEST(Validate, images_need_a_source_and_known_enums) {
  const auto field_of = [](const std::function<void(v1::Image*)>& change) {
    v1::Image image;
    change(&image);
    Violations violations;
    CheckImage(image, "image", 100, &violations);
    return FirstField(violations);
  };
  EXPECT_EQ(field_of([](v1::Image*) {}), "image");
  EXPECT_EQ(field_of([](v1::Image* i) { i->set_content(""); }), "image.content");
  EXPECT_EQ(field_of([](v1::Image* i) { i->set_content(std::string(101, 'x')); }), "image.content");
  EXPECT_EQ(field_of([](v1::Image* i) { i->set_content("x"); }), "");
  const auto raw = [](int width, int height, int64_t stride, int format) {
    return [=](v1::Image* i) {
      i->mutable_raw()->set_width(width);
      i->mutable_raw()->set_height(height);
      i->mutable_raw()->set_stride(stride);
      i->mutable_raw()->set_format(static_cast<v1::RawImage::PixelFormat>(format));
    };
  };
  EXPECT_EQ(field_of(raw(1, 1, 0, 1)), "");
  EXPECT_EQ(field_of(raw(0, 1, 0, 1)), "image.raw.width");
  EXPECT_EQ(field_of(raw(1, -1, 0, 1)), "image.raw.height");
  EXPECT_EQ(field_of(raw(1, 1, -1, 1)), "image.raw.stride");
  EXPECT_EQ(field_of(raw(1, 1, 0, 0)), "image.raw.format");
  EXPECT_EQ(field_of(raw(1, 1, 0, 99)), "image.raw.format");
}

}  // namespace
}  // namespace hfwa::server
