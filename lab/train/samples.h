#pragma once

// From the files of a data set to what one place of an epoch trains on.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "core/model/config.h"
#include "lab/data/data_set.h"
#include "lab/train/feature_cache.h"
#include "lab/train/mosaic.h"

namespace hfwa::lab::train {

struct SampleOptions {
  uint64_t seed = 2025;
  double mosaic_rate = 0.2;
  MosaicKind mosaic = MosaicKind::kCorrected;
  bool train_split = false;  // the set's `train` items too, not only `test`
  bool masks = true;         // false: they are not read
  int references = 0;        // good pictures of its class beside each sample
};

struct Sample {
  std::string file;        // of the item, for messages
  at::Tensor image;        // [3, S, S] fp32; undefined where features were cached
  at::Tensor features;     // as Backbone gives them; undefined where not cached
  at::Tensor mask;         // [M, M] fp32 in {0, 1}; M: map_size; undefined where not read
  bool mask_known = true;  // false: anomalous, and it is not known where
  int64_t label = 0;
  int64_t class_index = 0;
  int64_t set_class = 0;  // index of the set's class
  std::string sha256;     // of the file; empty for a mosaic
  // Distinct normal images of the class's training items, never the sample's own: as many as were
  // asked for, or all there are. Their pictures or features alone.
  std::vector<Sample> references;
};

// Immutable: what stands at a place is a function of seed, epoch and place. Thread-safe.
class Samples {
 public:
  // `cache` may be null; set, configuration and cache must outlive it. INVALID_ARGUMENT where the
  // set holds nothing to train on, or a class no reference for one of its images.
  static absl::StatusOr<std::unique_ptr<Samples>> Create(const DataSet& set,
                                                         const model::ModelConfig& config,
                                                         const SampleOptions& options,
                                                         const FeatureCache* cache);

  int64_t size() const { return static_cast<int64_t>(items_.size()); }
  int64_t anomalous() const;
  // Anomalous items whose defect's place is not known.
  int64_t without_mask() const;

  // Items in the order of an epoch (training spec 2.10).
  std::vector<int64_t> Order(int epoch) const;
  // The sample at `place` of an epoch, where Order has `item`. INVALID_ARGUMENT and NOT_FOUND name
  // the file.
  absl::StatusOr<Sample> Make(int epoch, int64_t place, int64_t item) const;

 private:
  struct ClassItems {
    int64_t class_index = 0;
    int64_t set_class = 0;
    std::vector<std::vector<const Item*>> kinds;  // sorted by name
    std::vector<const Item*> normal;              // of the training items
  };
  struct Entry {
    const Item* item;
    size_t of_class;
  };

  Samples(const DataSet& set, const model::ModelConfig& config, const SampleOptions& options,
          const FeatureCache* cache)
      : set_(set), config_(config), options_(options), cache_(cache) {}
  absl::Status AddClass(const ItemClass& items);
  // The picture, or its features, and the size that its mask must have.
  absl::StatusOr<Sample> MakePicture(const Item& item, image::Image* size) const;
  absl::StatusOr<std::vector<Sample>> MakeReferences(const ClassItems& items, const Item& item,
                                                     int epoch, int64_t place) const;
  absl::StatusOr<Sample> MakePlain(const Item& item) const;
  absl::StatusOr<Sample> MakeMosaicSample(const ClassItems& items, int epoch, int64_t place) const;
  absl::StatusOr<Tile> LoadTile(const Item& item) const;
  at::Tensor ToInput(const image::Image& picture) const;

  const DataSet& set_;
  const model::ModelConfig& config_;
  const SampleOptions options_;
  const FeatureCache* const cache_;
  std::vector<ClassItems> classes_;
  std::vector<Entry> items_;
};

}  // namespace hfwa::lab::train
