#include "server/errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "absl/strings/cord.h"
#include "core/engine/engine.h"
#include "google/rpc/error_details.pb.h"
#include "server/page_token.h"

namespace hfwa::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

template <typename Detail>
std::optional<Detail> Find(const google::rpc::Status& status) {
  for (const auto& any : status.details()) {
    Detail detail;
    if (any.Is<Detail>() && any.UnpackTo(&detail)) return detail;
  }
  return std::nullopt;
}

absl::Status FromEngine(absl::StatusCode code, const char* why, const char* field,
                        const char* retry_ms) {
  absl::Status status(code, "text of the engine");
  if (*why != '\0') status.SetPayload(engine::kReasonPayload, absl::Cord(why));
  if (*field != '\0') status.SetPayload(engine::kFieldPayload, absl::Cord(field));
  if (*retry_ms != '\0') status.SetPayload(engine::kRetryPayload, absl::Cord(retry_ms));
  return status;
}

TEST(Errors, every_error_has_error_info) {
  for (int code = 1; code <= 16; ++code) {
    const auto rpc = ToRpcStatus(absl::Status(static_cast<absl::StatusCode>(code), "x"), "req");
    const auto info = Find<google::rpc::ErrorInfo>(rpc);
    ASSERT_TRUE(info.has_value()) << code;
    EXPECT_EQ(info->domain(), "hfwa.dev");
    const Reason* entry = FindReason(info->reason());
    ASSERT_NE(entry, nullptr) << info->reason();
    EXPECT_EQ(static_cast<int>(entry->code), rpc.code());
    EXPECT_EQ(info->metadata().at("request_id"), "req");
    EXPECT_LT(rpc.ByteSizeLong(), 1024U);
  }
}

TEST(Errors, engine_payloads_become_details) {
  const auto image =
      ToRpcStatus(FromEngine(absl::StatusCode::kInvalidArgument, "", "image.raw.width", ""), "r");
  EXPECT_EQ(Find<google::rpc::ErrorInfo>(image)->reason(), "IMAGE_INVALID");
  ASSERT_EQ(Find<google::rpc::BadRequest>(image)->field_violations_size(), 1);
  EXPECT_EQ(Find<google::rpc::BadRequest>(image)->field_violations(0).field(), "image.raw.width");
  EXPECT_EQ(image.message(), "text of the engine");

  const auto full =
      ToRpcStatus(FromEngine(absl::StatusCode::kResourceExhausted, "QUEUE_FULL", "", "1250"), "r");
  EXPECT_EQ(Find<google::rpc::RetryInfo>(full)->retry_delay().seconds(), 1);
  EXPECT_EQ(Find<google::rpc::RetryInfo>(full)->retry_delay().nanos(), 250'000'000);

  const auto drain =
      ToRpcStatus(FromEngine(absl::StatusCode::kUnavailable, "DRAINING", "", ""), "r");
  EXPECT_TRUE(Find<google::rpc::RetryInfo>(drain).has_value());

  const auto empty =
      ToRpcStatus(FromEngine(absl::StatusCode::kFailedPrecondition, "NO_REFERENCES", "", ""), "r");
  EXPECT_EQ(Find<google::rpc::PreconditionFailure>(empty)->violations(0).type(), "NO_REFERENCES");
}

TEST(Errors, a_reason_outside_the_table_or_of_another_code_is_not_passed_on) {
  const auto made_up =
      ToRpcStatus(FromEngine(absl::StatusCode::kUnavailable, "MADE_UP", "", ""), "r");
  EXPECT_EQ(Find<google::rpc::ErrorInfo>(made_up)->reason(), "UNAVAILABLE");
  const auto other =
      ToRpcStatus(FromEngine(absl::StatusCode::kUnavailable, "QUEUE_FULL", "", ""), "r");
  EXPECT_EQ(Find<google::rpc::ErrorInfo>(other)->reason(), "UNAVAILABLE");
}

TEST(Errors, internal_shows_the_request_id_and_nothing_else) {
  for (const auto code :
       {absl::StatusCode::kInternal, absl::StatusCode::kUnknown, absl::StatusCode::kOutOfRange}) {
    const auto grpc_status = ToGrpcStatus(absl::Status(code, "secret /etc/path"), "req-7");
    EXPECT_EQ(grpc_status.error_code(), grpc::StatusCode::INTERNAL);
    EXPECT_EQ(grpc_status.error_message(), "internal error, request id req-7");
    EXPECT_THAT(grpc_status.error_details(), Not(HasSubstr("secret")));
  }
}

TEST(Errors, store_errors_get_their_reason_and_resource) {
  const auto missing =
      ToRpcStatus(FromStore(absl::NotFoundError("x"), "hfwa.dev/Product", "products/nut"), "r");
  EXPECT_EQ(Find<google::rpc::ErrorInfo>(missing)->reason(), "PRODUCT_NOT_FOUND");
  EXPECT_EQ(Find<google::rpc::ResourceInfo>(missing)->resource_name(), "products/nut");
  const auto full = ToRpcStatus(FromStore(absl::ResourceExhaustedError("/data"), "t", "n"), "r");
  EXPECT_EQ(Find<google::rpc::ErrorInfo>(full)->reason(), "DISK_FULL");
  EXPECT_THAT(full.message(), Not(HasSubstr("/data")));
  const auto reused = ToRpcStatus(FromStore(absl::InvalidArgumentError("x"), "t", "n"), "r");
  EXPECT_EQ(Find<google::rpc::ErrorInfo>(reused)->reason(), "REQUEST_ID_REUSED");
  EXPECT_EQ(Find<google::rpc::BadRequest>(reused)->field_violations(0).field(), "request_id");
  EXPECT_EQ(ReasonOf(FromStore(absl::AbortedError("x"), "t", "n")), "ETAG_MISMATCH");
}

TEST(Errors, fields_get_their_prefix) {
  const auto own = PrefixFields(InvalidFields({{"image", "x"}, {"labels", "y"}}), "request.");
  const auto bad = Find<google::rpc::BadRequest>(ToRpcStatus(own, "r"));
  EXPECT_EQ(bad->field_violations(0).field(), "request.image");
  EXPECT_EQ(bad->field_violations(1).field(), "request.labels");
  const auto engines = PrefixFields(
      FromEngine(absl::StatusCode::kInvalidArgument, "", "image.content", ""), "item.");
  EXPECT_EQ(Find<google::rpc::BadRequest>(ToRpcStatus(engines, "r"))->field_violations(0).field(),
            "item.image.content");
}

TEST(Errors, hostile_text_is_escaped_and_clipped) {
  EXPECT_EQ(Quote("a\nb"), "\"a\\nb\"");
  EXPECT_LT(Quote(std::string(10000, '\xff')).size(), 400U);
  std::vector<FieldViolation> many(100, {std::string(5000, 'f'), std::string(5000, '\xff')});
  const auto rpc = ToRpcStatus(InvalidFields(many), "r");
  EXPECT_LT(rpc.ByteSizeLong(), 6000U);
  EXPECT_FALSE(rpc.SerializeAsString().empty());
}

TEST(Errors, exceptions_become_statuses) {
  EXPECT_EQ(Guard([]() -> absl::Status { throw std::runtime_error("x"); }).code(),
            absl::StatusCode::kInternal);
  EXPECT_EQ(Guard([]() -> absl::Status { throw 7; }).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(Guard([]() -> absl::Status { throw std::bad_alloc(); }).code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(Reasons, documentation_lists_exactly_the_table) {
  std::ifstream in(HFWA_SOURCE_DIR "/docs/api.md");
  std::stringstream text;
  text << in.rdbuf();
  const std::string page = text.str();
  EXPECT_THAT(page, HasSubstr(ReasonsMarkdown())) << "put this table into docs/api.md:\n"
                                                  << ReasonsMarkdown();
  std::set<std::string> documented;
  const std::regex row("\n\\| `([A-Z_]+)` \\|");
  for (std::sregex_iterator it(page.begin(), page.end(), row), end; it != end; ++it)
    documented.insert((*it)[1]);
  EXPECT_EQ(documented.size(), Reasons().size());
}

TEST(Reasons, names_fit_error_info) {
  const std::regex rule("[A-Z][A-Z0-9_]+[A-Z0-9]");
  for (const Reason& reason : Reasons()) {
    EXPECT_TRUE(std::regex_match(reason.name, rule)) << reason.name;
    EXPECT_LE(std::string(reason.name).size(), 63U);
  }
}

TEST(PageToken, is_bound_to_its_list) {
  const std::string token = MakePageToken("ListReferences nut", "r1");
  EXPECT_EQ(ReadPageToken("ListReferences nut", token).value(), "r1");
  EXPECT_EQ(ReadPageToken("ListReferences nut", "").value(), "");
  EXPECT_EQ(ReasonOf(ReadPageToken("ListReferences bolt", token).status()), "PAGE_TOKEN_INVALID");
  EXPECT_FALSE(ReadPageToken("ListReferences nut", token.substr(1)).ok());
  EXPECT_FALSE(ReadPageToken("ListReferences nut", "../../etc").ok());
  EXPECT_FALSE(ReadPageToken("ListReferences nut", std::string(100000, 'A')).ok());
}

}  // namespace
}  // namespace hfwa::server
