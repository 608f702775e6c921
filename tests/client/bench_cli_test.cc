// `hfwa bench` as its user meets it, against a made-up server.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "client/cli/run.h"
#include "client/cli/synthetic.h"
#include "tests/client/fake_server.h"

namespace hfwa::cli {
namespace {

using client::Behaviour;
using client::FakeServer;
using ::testing::HasSubstr;
using ::testing::SizeIs;

struct Outcome {
  int code;
  std::string out;
  std::string err;
};

Outcome Bench(const FakeServer& server, const std::vector<std::string>& arguments,
              std::stop_token interrupt = {}) {
  std::vector<std::string> all{"--server", server.target(), "bench"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  std::ostringstream out;
  std::ostringstream err;
  Terminal terminal{.out = out, .err = err};
  const int code = Run(all, terminal, std::move(interrupt));
  return {code, out.str(), err.str()};
}

const std::vector<std::string> kShort{"--synthetic", "16x12", "--warmup", "0", "--duration", "0.3"};

std::vector<std::string> Short(std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), kShort.begin(), kShort.end());
  return arguments;
}

Behaviour Judging() {
  Behaviour behaviour;
  behaviour.get_model = [](v1::Model& model) {
    model.set_display_name("fake");
    return grpc::Status::OK;
  };
  behaviour.detect = [](auto&, const auto& request, auto& response) {
    client::JudgeByContent(request, response);
    response.set_batch_size(3);
    return grpc::Status::OK;
  };
  return behaviour;
}

TEST(BenchCliTest, requests_hold_product_picture_and_outputs) {
  Behaviour behaviour = Judging();
  absl::Mutex mu;
  std::set<std::string> products;
  std::set<std::string> pictures;
  std::set<int> formats;
  behaviour.detect = [&](auto&, const v1::DetectRequest& request, auto& response) {
    absl::MutexLock lock(&mu);
    products.insert(request.product());
    pictures.insert(request.image().content());
    formats.insert(request.outputs().map() ? request.outputs().map_format() : -1);
    client::JudgeByContent(request, response);
    return grpc::Status::OK;
  };
  FakeServer server(behaviour);
  const Outcome outcome = Bench(
      server, Short({"bolt,products/nut", "--concurrency", "4", "--heatmap", "float", "--json"}));
  EXPECT_EQ(outcome.code, kOk) << outcome.err;
  EXPECT_EQ(products, (std::set<std::string>{"products/bolt", "products/nut"}));
  EXPECT_THAT(pictures, SizeIs(4));
  for (const std::string& picture : pictures) EXPECT_EQ(picture.substr(0, 3), "\xff\xd8\xff");
  EXPECT_EQ(formats, (std::set<int>{v1::FLOAT32}));
  const auto json = nlohmann::json::parse(outcome.out);
  EXPECT_TRUE(json["valid"]);
  EXPECT_GT(json["ok"], 0);
  EXPECT_EQ(json["sent"], json["ok"]);
  EXPECT_EQ(json["model"], "fake");
  EXPECT_NEAR(json["stages_ms"]["total"]["mean"], 12.3, 0.01);
}

TEST(BenchCliTest, refused_requests_are_counted_and_never_sent_again) {
  std::atomic<int> calls = 0;
  Behaviour behaviour = Judging();
  behaviour.detect = [&](auto&, const auto& request, auto& response) {
    if (++calls % 2 == 0) return client::ToGrpc(client::RichError(8, "full", "QUEUE_FULL", 1));
    client::JudgeByContent(request, response);
    return grpc::Status::OK;
  };
  FakeServer server(behaviour);
  const Outcome outcome = Bench(server, Short({"bolt", "--rate", "100", "--json"}));
  EXPECT_EQ(outcome.code, kOk) << outcome.err << "a refusal is a result";
  const auto json = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(json["sent"], calls.load());
  EXPECT_EQ(json["failed"], calls / 2);
  EXPECT_EQ(json["failures"][0]["reason"], "QUEUE_FULL");
}

TEST(BenchCliTest, table_and_page_show_the_report) {
  FakeServer server(Judging());
  const std::filesystem::path page =
      std::filesystem::path(::testing::TempDir()) / absl::StrCat("hfwa_bench_", getpid(), ".html");
  const Outcome outcome = Bench(server, Short({"bolt", "--rate", "100", "--cold", "--p99-target",
                                               "10", "--plot", page.string()}));
  EXPECT_EQ(outcome.code, kOk) << outcome.err;
  for (const char* part : {"open loop, 100/s, poisson", "OK, from the intended time", "encode",
                           "images by size of their batch: 3: 100.0 %", "FIRST REQUEST",
                           "p99 is within the target of 10000 ms"}) {
    EXPECT_THAT(outcome.out, HasSubstr(part));
  }
  std::ifstream in(page);
  const std::string html{std::istreambuf_iterator<char>(in), {}};
  std::filesystem::remove(page);
  EXPECT_THAT(html, HasSubstr("<svg"));
  EXPECT_THAT(html, HasSubstr("</html>"));
}

TEST(BenchCliTest, search_goes_down_to_where_ten_requests_are_sent) {
  Behaviour behaviour = Judging();
  behaviour.detect = [](auto&, const auto&, auto&) {
    return client::ToGrpc(client::RichError(8, "full", "QUEUE_FULL"));
  };
  FakeServer server(behaviour);
  const auto search = [&](const char* first) {
    const Outcome outcome = Bench(
        server, Short({"bolt", "--find-goodput", "--p99-target", "1", "--rate", first, "--json"}));
    EXPECT_EQ(outcome.code, kFailed) << "nothing was answered OK";
    return nlohmann::json::parse(outcome.out);
  };
  EXPECT_EQ(search("1")["search"]["probes"].size(), 1u) << "begins where it would end";
  const auto json = search("100");
  EXPECT_TRUE(json["search"]["best_rate"].is_null());
  ASSERT_EQ(json["search"]["probes"].size(), 2u);
  EXPECT_EQ(json["search"]["probes"][1]["rate"], 50);
  EXPECT_FALSE(json["search"]["probes"][1]["passed"]);
}

TEST(BenchCliTest, search_reports_the_best_rate) {
  std::atomic<int> calls = 0;
  Behaviour behaviour = Judging();
  // Full for ever after so many requests, so that the second rate is the last that passes.
  behaviour.detect = [&](auto&, const auto& request, auto& response) {
    if (++calls > 100) return client::ToGrpc(client::RichError(8, "full", "QUEUE_FULL"));
    client::JudgeByContent(request, response);
    return grpc::Status::OK;
  };
  FakeServer server(behaviour);
  const Outcome outcome = Bench(server, Short({"bolt", "--find-goodput", "--p99-target", "20",
                                               "--rate", "100", "--arrivals", "constant"}));
  EXPECT_EQ(outcome.code, kOk) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("100/s  p99"));
  EXPECT_THAT(outcome.err, HasSubstr("did not pass"));
  EXPECT_THAT(outcome.out, HasSubstr("largest rate within the target: 200/s"));
  EXPECT_THAT(outcome.out, HasSubstr("open loop, 200/s, constant"));
}

TEST(BenchCliTest, interrupt_ends_early_and_reports) {
  std::stop_source stop;
  std::atomic<int> calls = 0;
  Behaviour behaviour = Judging();
  behaviour.detect = [&](grpc::ServerContext& context, const auto& request, auto& response) {
    if (++calls == 20) {
      stop.request_stop();
      client::WaitForCancel(context);
    }
    client::JudgeByContent(request, response);
    return grpc::Status::OK;
  };
  FakeServer server(behaviour);
  const Outcome outcome = Bench(server,
                                {"bolt", "--synthetic", "16x12", "--warmup", "0", "--duration",
                                 "1h", "--concurrency", "1", "--json"},
                                stop.get_token());
  EXPECT_EQ(outcome.code, kInterrupted);
  const auto json = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(json["ok"], 19);
  EXPECT_EQ(json["interrupted"], 1);
}

TEST(BenchCliTest, exit_code_is_69_when_the_server_goes_away) {
  Behaviour behaviour = Judging();
  behaviour.detect = [](auto&, const auto&, auto&) {
    return client::ToGrpc(client::RichError(14, "draining", "DRAINING"));
  };
  FakeServer server(behaviour);
  EXPECT_EQ(Bench(server, Short({"bolt", "--rate", "50"})).code, kUnavailable);
}

TEST(BenchCliTest, unknown_product_fails_before_anything_is_sent) {
  Behaviour behaviour = Judging();
  behaviour.get_product = [](const auto&, auto&) {
    return client::ToGrpc(client::RichError(5, "no product bolt", "PRODUCT_NOT_FOUND"));
  };
  FakeServer server(behaviour);
  const Outcome outcome = Bench(server, Short({"bolt", "--rate", "50"}));
  EXPECT_EQ(outcome.code, kFailed);
  EXPECT_THAT(outcome.err, HasSubstr("PRODUCT_NOT_FOUND"));
}

TEST(BenchCliTest, contradictions_are_usage_errors) {
  FakeServer server(Judging());
  EXPECT_EQ(Bench(server, Short({"bolt"})).code, kUsage) << "neither loop";
  EXPECT_EQ(Bench(server, Short({"bolt", "--rate", "5", "--concurrency", "2"})).code, kUsage);
  EXPECT_EQ(Bench(server, Short({"bolt", "part.png", "--rate", "5"})).code, kUsage);
  EXPECT_EQ(Bench(server, {"bolt", "--rate", "5"}).code, kUsage) << "no pictures";
  EXPECT_EQ(Bench(server, Short({"bolt", "--find-goodput"})).code, kUsage) << "no target";
  EXPECT_EQ(Bench(server, Short({"bolt", "--rate", "0"})).code, kUsage);
  EXPECT_EQ(Bench(server, Short({"bolt", "--rate", "5", "--p99-target", "0"})).code, kUsage);
  EXPECT_EQ(Bench(server, Short({"bolt", "--rate", "5", "--p99-target", "soon"})).code, kUsage);
}

TEST(SyntheticTest, pictures_are_of_the_sizes_and_the_seed) {
  const auto pictures = SyntheticPictures({"30x20", "8x8"}, "raw", 1);
  ASSERT_TRUE(pictures.ok());
  ASSERT_THAT(*pictures, SizeIs(8));
  EXPECT_EQ((*pictures)[0].raw().width(), 30);
  EXPECT_EQ((*pictures)[0].raw().height(), 20);
  EXPECT_EQ((*pictures)[7].raw().data().size(), 8u * 8 * 3);
  const auto bytes = [](uint64_t seed, const char* format) {
    return SyntheticPictures({"30x20"}, format, seed)->front().content();
  };
  EXPECT_EQ(bytes(1, "png"), bytes(1, "png"));
  EXPECT_NE(bytes(1, "png"), bytes(2, "png"));
  EXPECT_EQ(bytes(1, "png").substr(1, 3), "PNG");
  EXPECT_EQ(bytes(1, "jpeg").substr(0, 3), "\xff\xd8\xff");
  for (const char* size : {"", "30", "0x5", "30x20x3", "axb", "16384x16384", "20000x1"}) {
    EXPECT_FALSE(SyntheticPictures({size}, "raw", 1).ok()) << size;
  }
}

}  // namespace
}  // namespace hfwa::cli
