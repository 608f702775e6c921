#pragma once

// Four pictures as one (training spec, section 3).

#include <array>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "core/image/image.h"

namespace hfwa::lab::train {

enum class MosaicKind {
  kCorrected,  // tiles resized to the first one's size; the label follows the mask
  kReference,  // the paper's program: tiles unscaled, the label of the item that gives way
};

struct Tile {
  image::Image picture;
  std::vector<uint8_t> mask;  // picture.width * picture.height, 255 where the defect is, else 0;
                              // empty: no defect, or it is not known where
  bool anomalous = false;
};

struct Mosaic {
  image::Image picture;       // twice the first tile's sides
  std::vector<uint8_t> mask;  // width * height, 0 or 255
  bool mask_known = true;     // no tile has a defect whose place is not known
  // A positive pixel, or a defect whose place is not known. Not for kReference.
  bool anomalous = false;
};

// Tile k goes to column k mod 2, row k div 2. INVALID_ARGUMENT for a tile that is not square where
// the kind is kReference.
absl::StatusOr<Mosaic> MakeMosaic(const std::array<Tile, 4>& tiles, MosaicKind kind);

}  // namespace hfwa::lab::train
