#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "core/bank/bank.h"
#include "core/base/thread_pool.h"
#include "core/engine/encoder.h"
#include "core/engine/reference_features.h"
#include "core/scoring/score_model.h"
#include "core/store/feature_cache.h"
#include "core/store/store.h"

namespace hfwa::engine {

// What judges a product's parts: an immutable snapshot of one revision.
struct ProductBank {
  std::string product_uid;
  int64_t revision = 0;
  int class_index = 0;
  double coreset_ratio = 1;
  store::Method method = store::Method::kHfwa;
  std::shared_ptr<const bank::Bank> bank;  // null where the product has no reference
  scoring::ScoreModel score_model = scoring::ScoreModel::ZeroShot(1);
};

// Snapshots of products in memory, built from the store's images and the feature cache, within a
// budget of bytes. Thread-safe; calls block while something is built, so none comes from the device
// thread.
class ProductBanks {
 public:
  // All outlive it; `cache` holds what is worked out of features.
  ProductBanks(store::Store* store, store::FeatureCache* cache, Encoder* encoder,
               ReferenceFeatures* features, int64_t bytes_max);

  // The snapshot of the product's current revision. While a newer one is being built by Refresh,
  // the one before it: registering never holds up detecting.
  absl::StatusOr<std::shared_ptr<const ProductBank>> Get(const store::Product& product);

  // Calls `done` with what Get gives: at once where that is in memory, else from a thread of its
  // own after the build, so that a bank that is being built holds up nobody but its own product.
  // `done` is quick and does not throw.
  using Ready = std::function<void(absl::StatusOr<std::shared_ptr<const ProductBank>>)>;
  void WhenReady(const store::Product& product, const Ready& done);

  // Builds the snapshot of the product's current revision and puts it in place of the former one.
  absl::Status Refresh(const store::Product& product);

  void Drop(const std::string& product_id);

  // Score model alone: without the bank's memory where an earlier build left it in the feature
  // cache.
  absl::StatusOr<scoring::ScoreModel> GetScoreModel(const store::Product& product);

 private:
  using Snapshot = std::shared_ptr<const ProductBank>;
  struct Entry {
    Snapshot snapshot;
    int64_t bytes = 0;
    std::list<std::string>::iterator recency;
  };

  bool Fits(const ProductBank& bank, const store::Product& product) const;
  Snapshot Find(const store::Product& product, bool any_revision)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Insert(const std::string& product_id, Snapshot snapshot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  void ServeWaiting(const std::string& product_id);
  absl::StatusOr<Snapshot> Build(const store::Product& product);

  // A bank of all rows, or of those that are selected.
  absl::StatusOr<std::shared_ptr<const bank::Bank>> MakeBank(
      const store::Revision& revision, const ProductBank& snapshot,
      const bank::Bank::Selection& selection);
  // Bank and score model, by what an earlier build left of both in the feature cache.
  absl::Status Fill(ProductBank& snapshot, const store::Revision& revision,
                    const store::Product& product);

  // What the references say of a product's judging.
  struct Calibration {
    scoring::ScoreModel score_model;
    std::vector<float> level_weights;  // of the bank; empty: the model's
  };
  // Whether what levels count depends on the product.
  bool HasProductLevels() const;
  absl::StatusOr<Calibration> LoadCalibration(const store::Product& product, int class_index);
  void SaveCalibration(const store::Product& product, int class_index,
                       const Calibration& calibration);
  absl::StatusOr<bank::Bank::Selection> LoadCoreset(const store::Product& product);
  void SaveCoreset(const store::Product& product, const bank::Bank::Selection& selection);

  // The snapshot's score model, and what its bank's levels count, by that bank and `full`, the one
  // of all rows, which is the same where nothing is left out: each reference without itself.
  absl::Status Calibrate(ProductBank& snapshot, const bank::Bank& full,
                         const store::Revision& revision);
  // Reference k against the others' rows, or its own distant ones where there are no others.
  absl::StatusOr<at::Tensor> MatchOthers(const ProductBank& snapshot, const bank::Bank& full,
                                         int k);
  scoring::ReferenceRaw Raw(const ProductBank& snapshot,
                            const ReferenceFeatures::Features& features,
                            const at::Tensor& few) const;

  static constexpr char kCalibrationHeader[] = "score model 1";
  static constexpr char kCoresetHeader[] = "coreset 1";
  static std::string CoresetKey(const store::Product& product);
  static std::string CalibrationKey(const store::Product& product, int class_index);

  store::Store* const store_;
  store::FeatureCache* const cache_;
  Encoder* const encoder_;
  ReferenceFeatures* const features_;
  const int64_t bytes_max_;

  absl::Mutex mu_;
  std::map<std::string, Entry> entries_ ABSL_GUARDED_BY(mu_);
  std::list<std::string> recency_ ABSL_GUARDED_BY(mu_);  // product ids, least recently used first
  int64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
  std::set<std::string> building_
      ABSL_GUARDED_BY(mu_);  // product ids; one build of a product at a time
  struct Waiting {
    store::Product product;
    Ready done;
  };
  // By product id; whoever comes first starts the build. As many as there are admitted calls.
  std::map<std::string, std::vector<Waiting>> waiting_ ABSL_GUARDED_BY(mu_);
  ThreadPool builders_;  // last: its threads use the others
};

}  // namespace hfwa::engine
