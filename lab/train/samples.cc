#include "lab/train/samples.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <utility>

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/image/decode.h"
#include "core/image/mask.h"
#include "core/image/preprocess.h"
#include "lab/data/load.h"
#include "lab/train/random.h"

namespace hfwa::lab::train {
namespace {

absl::Status InFile(const std::string& file, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(file, ": ", status.message()));
}

// Any touched pixel counts in training (training spec 5.6).
at::Tensor ToMask(const std::vector<uint8_t>& values, int side) {
  at::Tensor mask = at::empty({side, side}, at::kFloat);
  float* out = mask.data_ptr<float>();
  for (size_t i = 0; i < values.size(); ++i)
    out[i] = values[i] >= image::kTrainingMaskMin ? 1.0F : 0.0F;
  return mask;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Samples>> Samples::Create(const DataSet& set,
                                                         const model::ModelConfig& config,
                                                         const SampleOptions& options,
                                                         const FeatureCache* cache) {
  std::unique_ptr<Samples> samples(new Samples(set, config, options, cache));
  for (const ItemClass& items : set.classes) {
    HFWA_RETURN_IF_ERROR(samples->AddClass(items));
  }
  if (samples->items_.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(set.root, ": holds no image to train on"));
  }
  return samples;
}

absl::Status Samples::AddClass(const ItemClass& items) {
  ClassItems own;
  const auto& names = config_.prompt.class_names;
  const auto found = std::find(names.begin(), names.end(), items.name);
  own.class_index = found == names.end() ? 0 : found - names.begin();
  own.set_class = static_cast<int64_t>(classes_.size());
  for (const Item& item : items.train) {
    if (!item.anomalous) own.normal.push_back(&item);
  }
  const size_t before = items_.size();
  std::map<std::string, std::vector<const Item*>> kinds;
  for (const std::vector<Item>* split : {&items.test, &items.train}) {
    if (split == &items.train && !options_.train_split) continue;
    for (const Item& item : *split) {
      items_.push_back({&item, classes_.size()});
      kinds[item.kind].push_back(&item);
    }
  }
  for (auto& [name, list] : kinds) {
    std::sort(list.begin(), list.end(),
              [](const Item* a, const Item* b) { return a->image < b->image; });
    own.kinds.push_back(std::move(list));
  }
  // An image of the training items is no reference of its own.
  const size_t needed = options_.train_split ? 2 : 1;
  if (options_.references > 0 && items_.size() > before && own.normal.size() < needed) {
    return absl::InvalidArgumentError(absl::StrCat(items.name, ": has ", own.normal.size(),
                                                   " normal training images to refer to where ",
                                                   needed, " are needed"));
  }
  classes_.push_back(std::move(own));
  return absl::OkStatus();
}

int64_t Samples::anomalous() const {
  return std::count_if(items_.begin(), items_.end(),
                       [](const Entry& entry) { return entry.item->anomalous; });
}

int64_t Samples::without_mask() const {
  return std::count_if(items_.begin(), items_.end(), [](const Entry& entry) {
    return entry.item->anomalous && entry.item->mask.empty();
  });
}

std::vector<int64_t> Samples::Order(int epoch) const {
  std::vector<int64_t> order(items_.size());
  std::iota(order.begin(), order.end(), 0);
  Random random(options_.seed, "order", static_cast<uint64_t>(epoch));
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
  return order;
}

absl::StatusOr<Sample> Samples::Make(int epoch, int64_t place, int64_t item) const {
  const Entry& entry = items_[static_cast<size_t>(item)];
  const ClassItems& items = classes_[entry.of_class];
  Random random(options_.seed, "mosaic", static_cast<uint64_t>(epoch),
                static_cast<uint64_t>(place));
  const bool mosaic = random.Uniform() < options_.mosaic_rate;
  auto sample = mosaic ? MakeMosaicSample(items, epoch, place) : MakePlain(*entry.item);
  if (!sample.ok()) return mosaic ? sample.status() : InFile(entry.item->image, sample.status());
  sample->file = entry.item->image;
  sample->class_index = items.class_index;
  sample->set_class = items.set_class;
  if (options_.references > 0) {
    HFWA_ASSIGN_OR_RETURN(sample->references, MakeReferences(items, *entry.item, epoch, place));
  }
  if (!mosaic || options_.mosaic == MosaicKind::kReference) sample->label = entry.item->anomalous;
  return sample;
}

absl::StatusOr<std::vector<Sample>> Samples::MakeReferences(const ClassItems& items,
                                                            const Item& item, int epoch,
                                                            int64_t place) const {
  Random random(options_.seed, "references", static_cast<uint64_t>(epoch),
                static_cast<uint64_t>(place));
  std::vector<const Item*> left;
  for (const Item* normal : items.normal) {
    if (normal->image != item.image) left.push_back(normal);
  }
  std::vector<Sample> references;
  while (static_cast<int>(references.size()) < options_.references && !left.empty()) {
    std::swap(left[random.Below(left.size())], left.back());
    image::Image size;
    auto reference = MakePicture(*left.back(), &size);
    if (!reference.ok()) return InFile(left.back()->image, reference.status());
    references.push_back(*std::move(reference));
    left.pop_back();
  }
  return references;
}

absl::StatusOr<Sample> Samples::MakePicture(const Item& item, image::Image* size) const {
  Sample sample;
  const image::DecodeOptions options = image::DecodeOptions::Paper();
  HFWA_ASSIGN_OR_RETURN(const std::string bytes, LoadBytes(set_, item.image));
  sample.file = item.image;
  sample.sha256 = Sha256Hex(bytes);
  if (cache_ != nullptr) sample.features = cache_->Get(sample.sha256);
  if (sample.features.defined()) {
    // The mask's check needs the size alone.
    HFWA_ASSIGN_OR_RETURN(const image::Header header, image::ReadHeader(bytes, options.limits));
    size->width = header.width;
    size->height = header.height;
  } else {
    HFWA_ASSIGN_OR_RETURN(*size, image::Decode(bytes, options));
    sample.image = ToInput(*size);
  }
  return sample;
}

absl::StatusOr<Sample> Samples::MakePlain(const Item& item) const {
  image::Image picture;
  HFWA_ASSIGN_OR_RETURN(Sample sample, MakePicture(item, &picture));
  if (!options_.masks) return sample;
  HFWA_ASSIGN_OR_RETURN(const std::optional<image::Image> mask, LoadMask(set_, item, picture));
  sample.mask_known = mask.has_value() || !item.anomalous;
  sample.mask = ToMask(ResizeMask(mask, config_.map_size).values, config_.map_size);
  return sample;
}

absl::StatusOr<Sample> Samples::MakeMosaicSample(const ClassItems& items, int epoch,
                                                 int64_t place) const {
  Random random(options_.seed, "tiles", static_cast<uint64_t>(epoch), static_cast<uint64_t>(place));
  std::array<Tile, 4> tiles;
  for (Tile& tile : tiles) {
    const auto& kind = items.kinds[random.Below(items.kinds.size())];
    const Item& item = *kind[random.Below(kind.size())];
    auto loaded = LoadTile(item);
    if (!loaded.ok()) return InFile(item.image, loaded.status());
    tile = *std::move(loaded);
  }
  HFWA_ASSIGN_OR_RETURN(const Mosaic mosaic, MakeMosaic(tiles, options_.mosaic));
  Sample sample;
  sample.image = ToInput(mosaic.picture);
  sample.mask =
      ToMask(image::ResizeGrey(mosaic.mask, mosaic.picture.width, mosaic.picture.height,
                               config_.map_size, config_.map_size, image::Resampling::kBilinear),
             config_.map_size);
  sample.mask_known = mosaic.mask_known;
  sample.label = mosaic.anomalous;
  return sample;
}

absl::StatusOr<Tile> Samples::LoadTile(const Item& item) const {
  Tile tile;
  tile.anomalous = item.anomalous;
  HFWA_ASSIGN_OR_RETURN(tile.picture, LoadPicture(set_, item));
  HFWA_ASSIGN_OR_RETURN(const std::optional<image::Image> mask, LoadMask(set_, item, tile.picture));
  if (mask.has_value())
    tile.mask = image::PrepareMask(*mask, tile.picture.width, tile.picture.height).values;
  return tile;
}

at::Tensor Samples::ToInput(const image::Image& picture) const {
  return ToModelInput(picture, config_).squeeze(0);
}

}  // namespace hfwa::lab::train
