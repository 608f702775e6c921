// TIFF, first page, by libtiff. What an industrial camera or an image editor writes is read; the
// rest is refused by name. The directory is read here first, so that size, work and memory are
// known.

#include <tiffio.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "core/base/status_macros.h"
#include "core/image/codec.h"
#include "core/image/tiff_directory.h"

namespace hfwa::image::internal {
namespace {

// What matters of a page, checked; every later step trusts it.
struct Page {
  int64_t width;
  int64_t height;
  int64_t bits;     // of a sample: 1, 2, 4, 8 or 16
  int64_t samples;  // of a pixel, 1 to 6
  int64_t photometric;
  bool planar;         // a plane for each sample
  bool premultiplied;  // colours are multiplied by alpha
  int64_t block_width;
  int64_t block_height;  // of a strip or tile
  bool tiled;

  // Bytes of `count` pixels of one row.
  int64_t RowBytes(int64_t count) const { return (count * bits * (planar ? 1 : samples) + 7) / 8; }
};

absl::Status CheckCompression(uint64_t compression) {
  switch (compression) {
    case COMPRESSION_NONE:
    case COMPRESSION_LZW:
    case COMPRESSION_ADOBE_DEFLATE:
    case COMPRESSION_DEFLATE:
    case COMPRESSION_PACKBITS:
      return absl::OkStatus();
    default:
      return Invalid("TIFF: compression ", compression,
                     " is not supported; none, LZW, Deflate and PackBits are");
  }
}

absl::Status CheckSamples(const Page& page, const TiffDirectory& directory) {
  const int64_t bits = page.bits;
  const auto unsupported = [&] {
    return Invalid("TIFF: ", page.samples, " samples of ", bits, " bits with photometric ",
                   page.photometric, " are not supported");
  };
  for (int64_t i = 1; i < page.samples; ++i) {
    const auto other = directory.Value(TIFFTAG_BITSPERSAMPLE, static_cast<uint64_t>(i));
    if (other && static_cast<int64_t>(*other) != bits) return unsupported();
  }
  if (directory.Value(TIFFTAG_SAMPLEFORMAT).value_or(1) != SAMPLEFORMAT_UINT) {
    return Invalid("TIFF: only unsigned integer samples are supported");
  }
  if (bits != 1 && bits != 2 && bits != 4 && bits != 8 && bits != 16) return unsupported();
  if (bits < 8 && page.samples != 1) return unsupported();
  switch (page.photometric) {
    case PHOTOMETRIC_MINISWHITE:
      return page.samples == 1 && bits <= 8 ? absl::OkStatus() : unsupported();
    case PHOTOMETRIC_MINISBLACK:
      return page.samples <= 2 ? absl::OkStatus() : unsupported();
    case PHOTOMETRIC_RGB:
      return page.samples >= 3 && bits >= 8 ? absl::OkStatus() : unsupported();
    case PHOTOMETRIC_PALETTE:
      if (directory.Count(TIFFTAG_COLORMAP) < 3U << bits) return unsupported();
      return page.samples <= 2 && bits <= 8 ? absl::OkStatus() : unsupported();
    case PHOTOMETRIC_SEPARATED:
      return page.samples >= 4 && bits >= 8 ? absl::OkStatus() : unsupported();
    default:
      return unsupported();
  }
}

absl::Status CheckBlocks(const Page& page, size_t file_bytes, const Limits& limits) {
  if (page.block_width < 1 || page.block_height < 1) return Invalid("TIFF: empty strips or tiles");
  if (page.tiled && (page.block_width % 16 != 0 || page.block_height % 16 != 0)) {
    return Invalid("TIFF: tiles of ", page.block_width, " x ", page.block_height, " pixels");
  }
  const int64_t across = (page.width + page.block_width - 1) / page.block_width;
  const int64_t down = (page.height + page.block_height - 1) / page.block_height;
  const int64_t planes = page.planar ? page.samples : 1;
  // Tiles are decoded whole, strips row by row.
  const int64_t tile_bytes = page.tiled ? page.RowBytes(page.block_width) * page.block_height : 0;
  if (tile_bytes > static_cast<int64_t>(limits.decoder_memory_max) / 2) {
    return Invalid("TIFF: tiles of ", page.block_width, " x ", page.block_height,
                   " pixels are too large");
  }
  const int64_t raw_bytes = page.RowBytes(page.width) * page.height * planes;
  if (across * down * planes * tile_bytes > 4 * raw_bytes + (16 << 20)) {
    return Invalid("TIFF: tiles of ", page.block_width, " x ", page.block_height,
                   " pixels for a picture of ", page.width, " x ", page.height);
  }
  // LZW makes at most some 2800 bytes of one, Deflate 1032, unless strips share their bytes.
  if (across * down == 1 && raw_bytes / 4096 > static_cast<int64_t>(file_bytes)) {
    return Invalid("TIFF of ", file_bytes, " bytes cannot hold ", page.width, " x ", page.height,
                   " pixels");
  }
  return absl::OkStatus();
}

absl::StatusOr<TiffDirectory> ParseDirectory(std::string_view bytes) {
  std::optional<TiffDirectory> directory = TiffDirectory::Parse(bytes);
  if (!directory) return Invalid("TIFF ends before its directory, after ", bytes.size(), " bytes");
  const uint64_t width = directory->Value(TIFFTAG_IMAGEWIDTH).value_or(0);
  const uint64_t height = directory->Value(TIFFTAG_IMAGELENGTH).value_or(0);
  if (width < 1 || height < 1 || width > INT32_MAX || height > INT32_MAX) {
    return Invalid("TIFF says ", width, " x ", height, " pixels");
  }
  return *std::move(directory);
}

absl::StatusOr<Page> ParsePage(const TiffDirectory& directory, size_t file_bytes,
                               const Limits& limits) {
  const auto value = [&](uint32_t tag, uint64_t otherwise) {
    // Larger than anything valid, small enough for every product below.
    return static_cast<int64_t>(
        std::min(directory.Value(tag).value_or(otherwise), uint64_t{1} << 31));
  };
  Page page{.width = value(TIFFTAG_IMAGEWIDTH, 0),
            .height = value(TIFFTAG_IMAGELENGTH, 0),
            .bits = value(TIFFTAG_BITSPERSAMPLE, 1),
            .samples = value(TIFFTAG_SAMPLESPERPIXEL, 1),
            .photometric = value(TIFFTAG_PHOTOMETRIC, 99),
            .planar = value(TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG) == PLANARCONFIG_SEPARATE,
            .premultiplied = false,
            .block_width = 0,
            .block_height = 0,
            .tiled = directory.Has(TIFFTAG_TILEWIDTH)};
  HFWA_RETURN_IF_ERROR(CheckSize("TIFF", page.width, page.height, limits));
  HFWA_RETURN_IF_ERROR(CheckCompression(
      directory.Value(TIFFTAG_COMPRESSION).value_or(static_cast<uint64_t>(COMPRESSION_NONE))));
  if (page.samples < 1 || page.samples > 6)
    return Invalid("TIFF: ", page.samples, " samples a pixel");
  HFWA_RETURN_IF_ERROR(CheckSamples(page, directory));
  page.planar = page.planar && page.samples > 1;
  page.premultiplied = page.photometric == PHOTOMETRIC_RGB && page.samples >= 4 &&
                       directory.Value(TIFFTAG_EXTRASAMPLES) == uint64_t{EXTRASAMPLE_ASSOCALPHA};
  page.block_width = page.tiled ? value(TIFFTAG_TILEWIDTH, 0) : page.width;
  page.block_height = page.tiled ? value(TIFFTAG_TILELENGTH, 0)
                                 : std::min(value(TIFFTAG_ROWSPERSTRIP, 1U << 31), page.height);
  if (page.tiled &&
      (page.block_width > limits.side_max + 256 || page.block_height > limits.side_max + 256)) {
    return Invalid("TIFF: tiles of ", page.block_width, " x ", page.block_height,
                   " pixels are too large");
  }
  HFWA_RETURN_IF_ERROR(CheckBlocks(page, file_bytes, limits));
  return page;
}

// --- libtiff over memory ---

struct Source {
  std::string_view bytes;
  uint64_t at = 0;
  char message[256] = {};  // the first error

  static Source& Of(thandle_t handle) { return *static_cast<Source*>(handle); }
};

tmsize_t OnRead(thandle_t handle, void* out, tmsize_t count) {
  Source& source = Source::Of(handle);
  const std::string_view part = Bytes(source.bytes).Slice(source.at, static_cast<uint64_t>(count));
  if (!part.empty()) std::memcpy(out, part.data(), part.size());
  source.at += part.size();
  return static_cast<tmsize_t>(part.size());
}

toff_t OnSeek(thandle_t handle, toff_t offset, int whence) {
  Source& source = Source::Of(handle);
  source.at = whence == SEEK_SET   ? offset
              : whence == SEEK_CUR ? source.at + offset
                                   : source.bytes.size() + offset;
  return source.at;
}

int OnMap(thandle_t handle, void** base, toff_t* size) {
  // libtiff only reads from a mapping.
  *base = const_cast<char*>(Source::Of(handle).bytes.data());
  *size = Source::Of(handle).bytes.size();
  return 1;
}

int OnError(TIFF*, void* user, const char*, const char* format, va_list arguments) {
  auto* source = static_cast<Source*>(user);
  if (source->message[0] == '\0') {
    std::vsnprintf(source->message, sizeof(source->message), format, arguments);
  }
  return 1;  // the process-wide handlers, which print, are not called
}

struct CloseTiff {
  void operator()(TIFF* tiff) const { TIFFClose(tiff); }
};
using TiffHandle = std::unique_ptr<TIFF, CloseTiff>;

TiffHandle Open(Source& source, const Limits& limits) {
  const std::unique_ptr<TIFFOpenOptions, void (*)(TIFFOpenOptions*)> options(TIFFOpenOptionsAlloc(),
                                                                             TIFFOpenOptionsFree);
  if (options == nullptr) return nullptr;
  TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(),
                                      static_cast<tmsize_t>(limits.decoder_memory_max / 2));
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), OnError, &source);
  TIFFOpenOptionsSetWarningHandlerExtR(
      options.get(), [](TIFF*, void*, const char*, const char*, va_list) { return 1; }, nullptr);
  return TiffHandle(TIFFClientOpenExt(
      "", "r", &source, OnRead, [](thandle_t, void*, tmsize_t) -> tmsize_t { return 0; }, OnSeek,
      [](thandle_t) { return 0; },
      [](thandle_t handle) -> toff_t { return Source::Of(handle).bytes.size(); }, OnMap,
      [](thandle_t, void*, toff_t) {}, options.get()));
}

// --- samples to RGB ---

class Converter {
 public:
  Converter(const Page& page, const TiffDirectory& directory, Grey16 grey16)
      : page_(page), grey16_(grey16), palette_(GreyRamp()) {
    const uint64_t colours = uint64_t{1} << std::min<int64_t>(page.bits, 8);
    if (page.photometric == PHOTOMETRIC_PALETTE) {
      for (uint64_t i = 0; i < 3 * colours; ++i) {
        const uint64_t value = directory.Value(TIFFTAG_COLORMAP, i).value_or(0);
        palette_.rgb[i % colours][i / colours] = static_cast<uint8_t>(value >> 8);
      }
    } else if (page.bits <= 8) {
      for (uint64_t i = 0; i < colours; ++i) {
        const uint64_t grey = i * 255 / (colours - 1);
        std::memset(
            palette_.rgb[i],
            static_cast<int>(page.photometric == PHOTOMETRIC_MINISWHITE ? 255 - grey : grey), 3);
      }
    }
  }

  // `count` pixels whose samples lie together, in the machine's byte order.
  void Interleaved(const uint8_t* in, int64_t count, uint8_t* rgb) const {
    switch (page_.photometric) {
      case PHOTOMETRIC_RGB:
        for (int64_t i = 0; i < count; ++i) {
          for (int64_t c = 0; c < 3; ++c) rgb[3 * i + c] = High(in, i * page_.samples + c);
        }
        if (page_.premultiplied) Unmultiply(in, count, rgb);
        break;
      case PHOTOMETRIC_SEPARATED:
        for (int64_t i = 0; i < count; ++i) {
          uint8_t cmyk[4];
          for (int64_t c = 0; c < 4; ++c) cmyk[c] = High(in, i * page_.samples + c);
          CmykToRgb(cmyk, 1, rgb + 3 * i);
        }
        break;
      default:
        for (int64_t i = 0; i < count; ++i) Single(in, i, page_.samples, rgb + 3 * i);
    }
  }

  // `count` samples of plane `plane`; CMYK and premultiplied planes are not converted here.
  void Plane(const uint8_t* in, int64_t count, int64_t plane, uint8_t* rgb) const {
    for (int64_t i = 0; i < count; ++i) {
      if (page_.photometric == PHOTOMETRIC_RGB) {
        rgb[3 * i + plane] = High(in, i);
      } else {
        Single(in, i, 1, rgb + 3 * i);
      }
    }
  }

 private:
  uint32_t Sample16(const uint8_t* in, int64_t index) const {
    uint16_t value;
    std::memcpy(&value, in + 2 * index, 2);
    return value;
  }
  uint8_t High(const uint8_t* in, int64_t index) const {
    return page_.bits == 16 ? static_cast<uint8_t>(Sample16(in, index) >> 8) : in[index];
  }
  // Grey or palette.
  void Single(const uint8_t* in, int64_t pixel, int64_t samples, uint8_t* rgb) const {
    if (page_.bits == 16) {
      // Pillow has no 16-bit grey with alpha; its high byte, as for PNG.
      const uint32_t value = Sample16(in, pixel * samples);
      std::memset(rgb, Grey16To8(value, samples == 1 ? grey16_ : Grey16::kScale), 3);
      return;
    }
    const int64_t bit = pixel * samples * page_.bits;
    const int64_t shift = 8 - page_.bits - bit % 8;
    const int index = in[bit / 8] >> shift & ((1 << page_.bits) - 1);
    std::memcpy(rgb, palette_.rgb[index], 3);
  }
  void Unmultiply(const uint8_t* in, int64_t count, uint8_t* rgb) const {
    for (int64_t i = 0; i < count; ++i) {
      const int alpha = High(in, i * page_.samples + 3);
      for (int64_t c = 0; c < 3; ++c) {
        const int value = rgb[3 * i + c];
        rgb[3 * i + c] = static_cast<uint8_t>(alpha == 0 ? 0 : std::min(value * 255 / alpha, 255));
      }
    }
  }

  const Page& page_;
  Grey16 grey16_;
  Palette palette_;
};

// Planes that carry colour; alpha and other extras are not even decoded.
int64_t ColourPlanes(const Page& page) {
  if (!page.planar) return 1;
  return page.photometric == PHOTOMETRIC_RGB ? 3 : 1;
}

void Convert(const Converter& converter, const Page& page, int64_t plane, const uint8_t* in,
             int64_t count, uint8_t* rgb) {
  if (page.planar) {
    converter.Plane(in, count, plane, rgb);
  } else {
    converter.Interleaved(in, count, rgb);
  }
}

bool ReadStrips(TIFF* tiff, const Page& page, const Converter& converter, Image& image) {
  std::vector<uint8_t> row(static_cast<size_t>(page.RowBytes(page.width)));
  if (TIFFScanlineSize(tiff) != static_cast<tmsize_t>(row.size())) return false;
  for (int64_t plane = 0; plane < ColourPlanes(page); ++plane) {
    for (int64_t y = 0; y < page.height; ++y) {
      if (TIFFReadScanline(tiff, row.data(), static_cast<uint32_t>(y),
                           static_cast<uint16_t>(plane)) != 1) {
        return false;
      }
      Convert(converter, page, plane, row.data(), page.width,
              image.rgb.data() + y * page.width * 3);
    }
  }
  return true;
}

bool ReadTiles(TIFF* tiff, const Page& page, const Converter& converter, Image& image) {
  const int64_t row_bytes = page.RowBytes(page.block_width);
  std::vector<uint8_t> tile(static_cast<size_t>(row_bytes * page.block_height));
  if (TIFFTileSize(tiff) != static_cast<tmsize_t>(tile.size())) return false;
  for (int64_t plane = 0; plane < ColourPlanes(page); ++plane) {
    for (int64_t y0 = 0; y0 < page.height; y0 += page.block_height) {
      for (int64_t x0 = 0; x0 < page.width; x0 += page.block_width) {
        if (TIFFReadTile(tiff, tile.data(), static_cast<uint32_t>(x0), static_cast<uint32_t>(y0), 0,
                         static_cast<uint16_t>(plane)) != static_cast<tmsize_t>(tile.size())) {
          return false;
        }
        const int64_t count = std::min(page.block_width, page.width - x0);
        for (int64_t y = y0; y < std::min(y0 + page.block_height, page.height); ++y) {
          Convert(converter, page, plane, tile.data() + (y - y0) * row_bytes, count,
                  image.rgb.data() + (y * page.width + x0) * 3);
        }
      }
    }
  }
  return true;
}

// libtiff must have read the same directory.
bool SamePage(TIFF* tiff, const Page& page) {
  uint32_t width = 0;
  uint32_t height = 0;
  uint16_t bits = 0;
  uint16_t samples = 0;
  uint16_t planar = 0;
  TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &width);
  TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &height);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &bits);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &samples);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &planar);
  uint16_t compression = 0;
  TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &compression);
  return width == page.width && height == page.height && bits == page.bits &&
         samples == page.samples &&
         (samples == 1 || (planar == PLANARCONFIG_SEPARATE) == page.planar) &&
         (TIFFIsTiled(tiff) != 0) == page.tiled && CheckCompression(compression).ok();
}

}  // namespace

absl::StatusOr<Header> ReadTiffHeader(std::string_view bytes) {
  HFWA_ASSIGN_OR_RETURN(const TiffDirectory directory, ParseDirectory(bytes));
  return Header{.format = Format::kTiff,
                .width = static_cast<int>(*directory.Value(TIFFTAG_IMAGEWIDTH)),
                .height = static_cast<int>(*directory.Value(TIFFTAG_IMAGELENGTH)),
                .orientation = ExifOrientation(bytes)};
}

absl::StatusOr<Image> DecodeTiff(std::string_view bytes, const DecodeOptions& options) {
  HFWA_ASSIGN_OR_RETURN(const TiffDirectory directory, ParseDirectory(bytes));
  HFWA_ASSIGN_OR_RETURN(const Page page, ParsePage(directory, bytes.size(), options.limits));
  if (page.planar && (page.photometric == PHOTOMETRIC_SEPARATED || page.premultiplied)) {
    return Invalid("TIFF: separate planes of this kind are not supported");
  }
  Source source{.bytes = bytes};
  const TiffHandle tiff = Open(source, options.limits);
  if (tiff == nullptr || !SamePage(tiff.get(), page)) {
    return Invalid("TIFF: damaged directory",
                   source.message[0] == '\0' ? "" : absl::StrCat(" (", source.message, ")"));
  }
  HFWA_ASSIGN_OR_RETURN(Image image, NewImage("TIFF", page.width, page.height, options.limits));
  const Converter converter(page, directory, options.grey16);
  const bool complete = page.tiled ? ReadTiles(tiff.get(), page, converter, image)
                                   : ReadStrips(tiff.get(), page, converter, image);
  if (!complete) {
    return Invalid("TIFF: damaged or truncated pixel data",
                   source.message[0] == '\0' ? "" : absl::StrCat(" (", source.message, ")"));
  }
  return image;
}

}  // namespace hfwa::image::internal
