#pragma once

// An engine without a model: keeps products in memory and answers from the image's text.
// Thread-safe.
//
//   "good", "bad"       verdicts; any other text counts as good
//   "broken"            INVALID_ARGUMENT with the field image.content
//   "full"              RESOURCE_EXHAUSTED, QUEUE_FULL, retry after 250 ms
//   "bug"               INTERNAL with a secret text
//   "throw"             an exception
//   "wait"              answered by Release(), or once the caller has gone or the deadline is over

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/engine/engine.h"

namespace hfwa::server::testing {

class FakeStore final : public store::Store {
 public:
  absl::StatusOr<store::Product> CreateProduct(store::Product product,
                                               const store::Retry& retry) override;
  absl::StatusOr<store::Product> GetProduct(const std::string& id) override;
  absl::StatusOr<std::vector<store::Product>> ListProducts(const store::Page& page) override;
  absl::StatusOr<store::Product> UpdateProduct(const std::string& id,
                                               const store::ProductPatch& patch,
                                               const std::string& etag,
                                               const store::Retry& retry) override;
  absl::Status DeleteProduct(const std::string& id, const std::string& etag,
                             const store::Retry& retry) override;
  absl::StatusOr<std::unique_ptr<ObjectLease>> PutObject(std::string_view bytes) override;
  absl::StatusOr<std::string> ReadObject(const std::string& sha256) override;
  absl::StatusOr<Registration> AddReferences(
      const std::string& product_id, std::vector<store::Reference> references, int limit,
      const store::Retry& retry,
      const std::function<std::string(const Registration&)>& make_reply) override;
  absl::StatusOr<store::Product> DeleteReference(const std::string& product_id,
                                                 const std::string& reference_id,
                                                 const store::Retry& retry) override;
  absl::StatusOr<std::vector<store::Reference>> ListReferences(const std::string& product_id,
                                                               const store::Page& page) override;
  absl::StatusOr<store::Reference> GetReference(const std::string& product_id,
                                                const std::string& reference_id) override;
  absl::StatusOr<store::Revision> CurrentRevision(const std::string& product_id) override;
  absl::StatusOr<std::optional<std::string>> FindReply(const store::Retry& retry) override;
  absl::Status healthy() const override { return absl::OkStatus(); }
  absl::StatusOr<Counts> Count() override;

  // For the fake registration.
  void Remember(const store::Retry& retry, const std::string& reply);
  void PutBytes(const std::string& sha256, std::string bytes);

 private:
  struct Entry {
    store::Product product;
    std::vector<store::Reference> references;
  };
  absl::Status Repeated(const store::Retry& retry, std::string* reply);  // with mu_ held
  void Touch(store::Product* product);

  std::mutex mu_;
  std::map<std::string, Entry> products_;
  std::map<std::string, std::string> objects_;
  std::map<std::string, std::pair<std::string, std::string>> replies_;  // id: fingerprint, reply
  int64_t etags_ = 0;
};

class FakeEngine : public engine::Engine {
 public:
  FakeEngine();
  ~FakeEngine() override;

  void Detect(engine::DetectCall call) override;
  absl::StatusOr<std::unique_ptr<engine::Registration>> Register(
      const std::string& product_id) override;
  absl::StatusOr<std::optional<std::string>> FindReply(const store::Retry& retry) override;
  absl::StatusOr<store::Product> DeleteReference(const std::string& product_id,
                                                 const std::string& reference_id,
                                                 const store::Retry& retry) override;
  absl::StatusOr<store::Product> UpdateProduct(const std::string& product_id,
                                               store::ProductPatch patch, const std::string& etag,
                                               const store::Retry& retry) override;
  absl::Status DeleteProduct(const std::string& product_id, const std::string& etag,
                             const store::Retry& retry) override;
  absl::StatusOr<engine::Calibration> GetCalibration(const store::Product& product) override;
  absl::StatusOr<std::string> ReferenceThumbnail(const store::Reference& reference) override;
  FakeStore& store() override { return store_; }
  const engine::ModelInfo& model() const override { return model_; }
  absl::Status healthy() const override;
  void Drain(absl::Duration timeout) override;

  // Answers all "wait" calls, now and later.
  void Release();
  // Blocks until `count` "wait" calls are waiting.
  bool AwaitWaiting(int count);
  int cancelled() const { return cancelled_; }
  int waiting_max() const { return waiting_max_; }
  int committed() const { return committed_; }
  void SetHealth(absl::Status status);

 private:
  friend class FakeRegistration;
  struct Waiting;
  void Poll();

  FakeStore store_;
  engine::ModelInfo model_;
  mutable std::mutex mu_;
  std::condition_variable changed_;
  std::vector<engine::DetectCall> waiting_;
  bool released_ = false;
  bool stopping_ = false;
  bool draining_ = false;
  absl::Status health_;
  std::atomic<int> cancelled_{0};
  std::atomic<int> waiting_max_{0};
  std::atomic<int> committed_{0};
  std::thread poller_;
};

}  // namespace hfwa::server::testing
