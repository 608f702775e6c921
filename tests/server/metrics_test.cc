#include "server/metrics.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/server/grpc_fixture.h"

namespace hfwa::server::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class MetricsPage : public GrpcTest {
 protected:
  MetricsPage() { StartServer(); }
  ServerConfig Config() override {
    ServerConfig config = GrpcTest::Config();
    config.metrics_listen = "127.0.0.1:0";
    return config;
  }
  std::string Page() {
    const std::string reply = HttpGet("/metrics");
    EXPECT_THAT(reply, ::testing::StartsWith("HTTP/1.1 200"));
    return reply.substr(reply.find("\r\n\r\n") + 4);
  }
};

TEST_F(MetricsPage, counts_what_happened) {
  CreateProduct("nut");
  metrics_.SetBuildInfo("0.1", engine_.model());
  metrics_.OnStage(engine::Stage::kEncode, absl::Milliseconds(4));
  metrics_.OnBatch(4, "full");
  metrics_.OnQueue(batching::Lane::kBulk, 3, 4096, 2);
  metrics_.OnRefusal("QUEUE_FULL", batching::Lane::kLive);
  metrics_.OnDeadlineSlack(batching::Lane::kLive, absl::Milliseconds(4));
  metrics_.OnDeadlineSlack(batching::Lane::kLive, -absl::Milliseconds(4));
  v1::DetectResponse response;
  detection_->Detect(Context().get(), DetectOf("nut", "bad"), &response);
  detection_->Detect(Context().get(), DetectOf("nut", "broken"), &response);
  const std::string page = Page();
  for (const char* line : {
           "hfwa_requests_total{code=\"OK\",lane=\"live\",method=\"Detect\"} 1\n",
           "hfwa_requests_total{code=\"INVALID_ARGUMENT\",lane=\"live\",method=\"Detect\"} 1\n",
           "hfwa_request_duration_seconds_count{lane=\"live\",method=\"Detect\"} 2\n",
           "hfwa_stage_duration_seconds_bucket{stage=\"encode\",le=\"0.005\"} 1\n",
           "hfwa_stage_duration_seconds_bucket{stage=\"encode\",le=\"0.003\"} 0\n",
           "hfwa_stage_duration_seconds_bucket{stage=\"decode\",le=\"0.001\"}",
           "hfwa_batch_size_sum 4\n",
           "hfwa_batches_total{reason=\"full\"} 1\n",
           "hfwa_queue_images{lane=\"bulk\"} 3\n",
           "hfwa_queue_images{lane=\"live\"} 0\n",
           "hfwa_queue_bytes{lane=\"bulk\"} 4096\n",
           "hfwa_inflight_images{lane=\"bulk\"} 2\n",
           "hfwa_refusals_total{lane=\"live\",reason=\"QUEUE_FULL\"} 1\n",
           "hfwa_deadline_slack_seconds_bucket{lane=\"live\",le=\"0\"} 1\n",
           "hfwa_deadline_slack_seconds_bucket{lane=\"live\",le=\"0.005\"} 2\n",
           "hfwa_requests_total{code=\"OK\",lane=\"none\",method=\"CreateProduct\"} 1\n",
           "hfwa_products 1\n",
           "hfwa_references 0\n",
           "hfwa_verdicts_total{verdict=\"anomalous\"} 1\n",
           "hfwa_build_info{device=\"cpu\",model_digest=",
           "process_cpu_seconds_total ",
           "process_resident_memory_bytes ",
           "process_virtual_memory_bytes ",
           "process_open_fds ",
           "process_start_time_seconds ",
       }) {
    EXPECT_THAT(page, HasSubstr(line));
  }
}

TEST_F(MetricsPage, no_text_of_a_caller_becomes_a_label) {
  v1::GetProductRequest get;
  get.set_name("products/x\"} 1\nhfwa_fake 1\n");
  v1::Product product;
  products_->GetProduct(Context().get(), get, &product);
  CreateProduct("very-special-nut");
  const std::string page = Page();
  EXPECT_THAT(page, Not(HasSubstr("hfwa_fake")));
  EXPECT_THAT(page, Not(HasSubstr("very-special-nut")));
}

TEST_F(MetricsPage, there_is_nothing_else_over_http) {
  for (const char* path : {"/", "/metrics/../etc/passwd", "/healthz", "/favicon.ico"}) {
    EXPECT_THAT(HttpGet(path), Not(::testing::StartsWith("HTTP/1.1 200"))) << path;
  }
}

TEST_F(MetricsPage, promtool_accepts_it) {
  const char* cache = std::getenv("HFWA_CACHE");
  const std::string promtool = std::string(cache == nullptr ? "" : cache) + "/promtool";
  if (!std::filesystem::exists(promtool))
    GTEST_SKIP() << "no promtool at " << promtool << "; run scripts/setup test";
  CreateProduct("nut");
  v1::DetectResponse response;
  detection_->Detect(Context().get(), DetectOf("nut", "bad"), &response);
  metrics_.SetBuildInfo("0.1", engine_.model());
  const std::string file = ::testing::TempDir() + "hfwa-metrics-" + std::to_string(getpid());
  std::ofstream(file) << Page();
  EXPECT_EQ(std::system((promtool + " check metrics < " + file).c_str()), 0);
  std::filesystem::remove(file);
}

}  // namespace
}  // namespace hfwa::server::testing
