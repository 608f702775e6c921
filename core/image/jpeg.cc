// JPEG by libjpeg-turbo. Before it sees a byte, the markers are walked: size, number of scans and
// the work and memory that the file asks for are known and bounded then.

#include <algorithm>
#include <csetjmp>
#include <cstddef>
#include <cstdio>  // jpeglib.h wants FILE
#include <cstring>
#include <string>
#include <vector>

#include <jpeglib.h>
// jerror.h wants jpeglib.h before it.
#include <jerror.h>

#include "core/base/status_macros.h"
#include "core/image/codec.h"

namespace hfwa::image::internal {
namespace {

// Bounds the time of files with many scans over many blocks: one unit is a visit of a block, some
// 10 ns. A progressive 4:4:4 picture of 40 megapixels as encoders write it needs half of it.
constexpr int64_t kWorkMax = 40'000'000;

struct Component {
  int64_t id = 0;
  int64_t h = 1;
  int64_t v = 1;
  int64_t blocks = 0;         // that carry data
  int64_t padded_blocks = 0;  // that a decoder stores
};

struct Frame {
  int64_t width = 0;
  int64_t height = 0;
  bool progressive = false;
  std::vector<Component> components;
};

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The segment of a SOF marker, its length included.
absl::StatusOr<Frame> ParseFrame(uint32_t marker, const Bytes& segment) {
  if (marker > 0xC2) {
    return Invalid("JPEG: lossless, hierarchical and arithmetic-coded files are not supported");
  }
  const uint64_t count = segment.U8(7);
  if (segment.size() != 8 + 3 * count) return Invalid("JPEG: damaged frame header");
  if (segment.U8(2) != 8)
    return Invalid("JPEG: ", segment.U8(2), "-bit samples; only 8 are supported");
  if (count != 1 && count != 3 && count != 4) {
    return Invalid("JPEG: ", count, " components; 1, 3 or 4 are supported");
  }
  Frame frame{.width = segment.Be16(5),
              .height = segment.Be16(3),
              .progressive = marker == 0xC2,
              .components = {}};
  int64_t h_max = 1;
  int64_t v_max = 1;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t at = 8 + 3 * i;
    const Component component{
        .id = segment.U8(at), .h = segment.U8(at + 1) >> 4, .v = segment.U8(at + 1) & 15};
    if (component.h < 1 || component.h > 4 || component.v < 1 || component.v > 4) {
      return Invalid("JPEG: damaged sampling factors");
    }
    h_max = std::max(h_max, component.h);
    v_max = std::max(v_max, component.v);
    frame.components.push_back(component);
  }
  for (Component& c : frame.components) {
    c.blocks = CeilDiv(frame.width * c.h, h_max * 8) * CeilDiv(frame.height * c.v, v_max * 8);
    c.padded_blocks =
        CeilDiv(frame.width, h_max * 8) * c.h * (CeilDiv(frame.height, v_max * 8) * c.v);
  }
  return frame;
}

// What one scan costs, in visits of blocks. `segment` is that of the SOS marker.
int64_t ScanWork(const Frame& frame, const Bytes& segment) {
  const uint64_t count = segment.U8(2);
  int64_t blocks = 0;
  for (uint64_t i = 0; i < count; ++i) {
    for (const Component& c : frame.components) {
      if (c.id == segment.U8(3 + 2 * i)) blocks += c.padded_blocks;
    }
  }
  const int64_t first = segment.U8(3 + 2 * count);
  const int64_t last = segment.U8(4 + 2 * count);
  const bool refines = segment.U8(5 + 2 * count) >> 4 != 0;
  // A refinement looks at every coefficient it covers, even where it has nothing to say.
  const int64_t weight =
      frame.progressive && refines && first > 0 ? 1 + (last - first + 1) / 16 : 1;
  return blocks * std::max<int64_t>(weight, 1);
}

struct Walk {
  Frame frame;  // no components: not seen yet
  int orientation = 1;
  int scans = 0;
  int64_t work = 0;
  bool buffered = false;  // the decoder must keep all coefficients
};

// Follows the markers to the first scan, or, with `whole`, to the end of the picture.
absl::StatusOr<Walk> WalkMarkers(std::string_view data, bool whole, int scans_max) {
  const Bytes bytes(data);
  Walk walk;
  uint64_t at = 2;
  while (true) {
    const void* found =
        at < data.size() ? std::memchr(data.data() + at, 0xFF, data.size() - at) : nullptr;
    if (found == nullptr) break;
    at = static_cast<uint64_t>(static_cast<const char*>(found) - data.data());
    while (at < data.size() && bytes.U8(at) == 0xFF) ++at;
    const uint32_t marker = bytes.U8(at++);
    if (marker == 0 || marker == 1 || (marker >= 0xD0 && marker <= 0xD8)) continue;
    if (marker == 0xD9) break;
    const uint64_t length = bytes.Be16(at);
    if (length < 2 || !bytes.Has(at, length)) {
      return Invalid("JPEG ends within a segment, after ", data.size(), " bytes");
    }
    const Bytes segment(bytes.Slice(at, length));
    if (marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC) {
      if (!walk.frame.components.empty()) return Invalid("JPEG: more than one frame header");
      HFWA_ASSIGN_OR_RETURN(walk.frame, ParseFrame(marker, segment));
    } else if (marker == 0xE1 && walk.orientation == 1) {
      const std::string_view payload = segment.Slice(2, length);
      if (payload.substr(0, 4) == "Exif") walk.orientation = ExifOrientation(payload);
    } else if (marker == 0xDA) {
      if (walk.frame.components.empty()) return Invalid("JPEG: scan before the frame header");
      if (!whole) return walk;
      if (++walk.scans > scans_max) return Invalid("JPEG: more than ", scans_max, " scans");
      walk.work += ScanWork(walk.frame, segment);
      walk.buffered |= segment.U8(2) != walk.frame.components.size();
    }
    at += length;
  }
  if (walk.frame.components.empty())
    return Invalid("JPEG ends before its frame header, after ", data.size(), " bytes");
  if (whole && walk.scans == 0)
    return Invalid("JPEG ends before its first scan, after ", data.size(), " bytes");
  return walk;
}

absl::Status CheckCost(const Walk& walk, size_t file_bytes, const Limits& limits) {
  const Frame& frame = walk.frame;
  int64_t blocks = 0;
  int64_t padded_blocks = 0;
  for (const Component& c : frame.components) {
    blocks += c.blocks;
    padded_blocks += c.padded_blocks;
  }
  // Huffman codes have at least one bit: the DC of a block takes one, the end of its AC another.
  const int64_t bits_needed = blocks * (frame.progressive ? 1 : 2);
  if (static_cast<int64_t>(file_bytes) < bits_needed / 8) {
    return Invalid("JPEG of ", file_bytes, " bytes cannot hold ", frame.width, " x ", frame.height,
                   " pixels");
  }
  if (walk.work > kWorkMax) {
    return Invalid("JPEG: ", walk.scans, " scans over ", frame.width, " x ", frame.height,
                   " pixels are too many");
  }
  constexpr int64_t kCoefficientBytes = 64 * 2;
  if ((frame.progressive || walk.buffered) &&
      padded_blocks * kCoefficientBytes > static_cast<int64_t>(limits.decoder_memory_max)) {
    return Invalid("JPEG: a progressive picture of ", frame.width, " x ", frame.height,
                   " pixels needs more than ", limits.decoder_memory_max, " bytes to decode");
  }
  return absl::OkStatus();
}

// Everything libjpeg's callbacks need; the library's structures come first so that their addresses
// lead back here.
struct Decoder {
  jpeg_decompress_struct info;
  jpeg_error_mgr error;
  jpeg_progress_mgr progress;
  jpeg_source_mgr source;
  std::jmp_buf escape;
  char message[JMSG_LENGTH_MAX];
  int64_t scans_max;
  int64_t warnings;
};

Decoder* Self(j_common_ptr info) { return static_cast<Decoder*>(info->client_data); }

[[noreturn]] void OnError(j_common_ptr info) {
  Decoder* self = Self(info);
  (*info->err->format_message)(info, self->message);
  std::longjmp(self->escape, 1);
}

// Warnings about structure are passed over as Pillow does; those about pixel data end the decoding:
// a picture with grey stripes must not be judged.
void OnMessage(j_common_ptr info, int level) {
  if (level >= 0) return;
  constexpr int64_t kWarningsMax = 64;
  switch (info->err->msg_code) {
    case JWRN_ADOBE_XFORM:
    case JWRN_BOGUS_PROGRESSION:
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_JFIF_MAJOR:
    case JWRN_NOT_SEQUENTIAL:
      if (++Self(info)->warnings <= kWarningsMax) return;
      [[fallthrough]];
    default:
      OnError(info);
  }
}

// The walk has bounded the scans already; this holds even if libjpeg sees markers that the walk did
// not.
void OnProgress(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number > Self(info)->scans_max) {
    std::snprintf(Self(info)->message, JMSG_LENGTH_MAX, "too many scans");
    std::longjmp(Self(info)->escape, 1);
  }
}

boolean OnEndOfInput(j_decompress_ptr info) {
  ERREXIT(info, JERR_INPUT_EOF);
  return FALSE;
}

void OnSkip(j_decompress_ptr info, long count) {
  if (count <= 0) return;
  if (static_cast<size_t>(count) > info->src->bytes_in_buffer) ERREXIT(info, JERR_INPUT_EOF);
  info->src->next_input_byte += count;
  info->src->bytes_in_buffer -= static_cast<size_t>(count);
}

void Prepare(Decoder& d, std::string_view bytes, const Limits& limits) {
  d.info.err = jpeg_std_error(&d.error);
  d.error.error_exit = OnError;
  d.error.emit_message = OnMessage;
  d.error.output_message = [](j_common_ptr) {};
  d.info.client_data = &d;
  d.scans_max = limits.jpeg_scans_max;
  d.warnings = 0;
  d.message[0] = '\0';
  d.source.next_input_byte = reinterpret_cast<const JOCTET*>(bytes.data());
  d.source.bytes_in_buffer = bytes.size();
  d.source.init_source = [](j_decompress_ptr) {};
  d.source.fill_input_buffer = OnEndOfInput;
  d.source.skip_input_data = OnSkip;
  d.source.resync_to_restart = jpeg_resync_to_restart;
  d.source.term_source = [](j_decompress_ptr) {};
  d.progress = {};
  d.progress.progress_monitor = OnProgress;
}

// Decodes into `rgb`; `row` holds one row of 4 samples a pixel. False on an error, which is in
// d.message. No object with a destructor may live here: libjpeg leaves by longjmp.
bool Run(Decoder& d, const Frame& frame, const Limits& limits, uint8_t* rgb, uint8_t* row) {
  if (setjmp(d.escape) != 0) {
    jpeg_destroy_decompress(&d.info);
    return false;
  }
  jpeg_create_decompress(&d.info);
  d.info.src = &d.source;
  d.info.progress = &d.progress;
  // Leaves room for what libjpeg needs besides coefficients: tables and rows.
  d.info.mem->max_memory_to_use = static_cast<long>(limits.decoder_memory_max + (16U << 20));
  jpeg_read_header(&d.info, TRUE);
  if (d.info.image_width != frame.width || d.info.image_height != frame.height) {
    ERREXIT(&d.info, JERR_SOF_DUPLICATE);
  }
  const bool cmyk = d.info.num_components == 4;
  d.info.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
  d.info.dct_method = JDCT_ISLOW;
  jpeg_start_decompress(&d.info);
  const size_t row_bytes = static_cast<size_t>(frame.width) * 3;
  while (d.info.output_scanline < d.info.output_height) {
    uint8_t* out = rgb + d.info.output_scanline * row_bytes;
    JSAMPROW target = cmyk ? row : out;
    jpeg_read_scanlines(&d.info, &target, 1);
    if (!cmyk) continue;
    // Stored inverted, as Adobe does; Pillow takes every CMYK JPEG for one of Adobe's.
    for (size_t i = 0; i < static_cast<size_t>(frame.width) * 4; ++i) row[i] = 255 - row[i];
    CmykToRgb(row, frame.width, out);
  }
  jpeg_finish_decompress(&d.info);
  jpeg_destroy_decompress(&d.info);
  return true;
}

}  // namespace

absl::StatusOr<Header> ReadJpegHeader(std::string_view bytes) {
  HFWA_ASSIGN_OR_RETURN(const Walk walk, WalkMarkers(bytes, /*whole=*/false, /*scans_max=*/0));
  return Header{.format = Format::kJpeg,
                .width = static_cast<int>(walk.frame.width),
                .height = static_cast<int>(walk.frame.height),
                .orientation = walk.orientation};
}

absl::StatusOr<Image> DecodeJpeg(std::string_view bytes, const DecodeOptions& options) {
  const Limits& limits = options.limits;
  HFWA_ASSIGN_OR_RETURN(const Walk walk, WalkMarkers(bytes, /*whole=*/true, limits.jpeg_scans_max));
  HFWA_RETURN_IF_ERROR(CheckCost(walk, bytes.size(), limits));
  HFWA_ASSIGN_OR_RETURN(Image image, NewImage("JPEG", walk.frame.width, walk.frame.height, limits));
  std::vector<uint8_t> row;
  if (walk.frame.components.size() == 4) row.resize(static_cast<size_t>(image.width) * 4);
  Decoder decoder;
  Prepare(decoder, bytes, limits);
  if (!Run(decoder, walk.frame, limits, image.rgb.data(), row.data())) {
    return Invalid("JPEG: ", decoder.message);
  }
  return image;
}

}  // namespace hfwa::image::internal
