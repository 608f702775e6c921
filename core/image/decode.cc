#include "core/image/decode.h"

#include <exception>
#include <utility>

#include "core/base/status_macros.h"
#include "core/image/codec.h"

namespace hfwa::image {
namespace {

using internal::Invalid;

struct Codec {
  Format format;
  std::string_view media_type;
  std::string_view name;
  absl::StatusOr<Header> (*read_header)(std::string_view);
  absl::StatusOr<Image> (*decode)(std::string_view, const DecodeOptions&);
};

constexpr Codec kCodecs[] = {
    {Format::kJpeg, "image/jpeg", "JPEG", internal::ReadJpegHeader, internal::DecodeJpeg},
    {Format::kPng, "image/png", "PNG", internal::ReadPngHeader, internal::DecodePng},
    {Format::kBmp, "image/bmp", "BMP", internal::ReadBmpHeader, internal::DecodeBmp},
    {Format::kTiff, "image/tiff", "TIFF", internal::ReadTiffHeader, internal::DecodeTiff},
    {Format::kWebp, "image/webp", "WebP", internal::ReadWebpHeader, internal::DecodeWebp},
};

const Codec& CodecOf(Format format) { return kCodecs[static_cast<int>(format)]; }

bool StartsWith(std::string_view bytes, std::string_view magic) {
  return bytes.substr(0, magic.size()) == magic;
}

const Codec* Sniff(std::string_view bytes) {
  using std::string_view_literals::operator""sv;
  if (StartsWith(bytes, "\xff\xd8\xff"sv)) return &CodecOf(Format::kJpeg);
  if (StartsWith(bytes, "\x89PNG\r\n\x1a\n"sv)) return &CodecOf(Format::kPng);
  if (StartsWith(bytes, "BM"sv)) return &CodecOf(Format::kBmp);
  for (std::string_view magic : {"II*\0"sv, "MM\0*"sv, "II+\0"sv, "MM\0+"sv}) {
    if (StartsWith(bytes, magic)) return &CodecOf(Format::kTiff);
  }
  if (StartsWith(bytes, "RIFF"sv) && bytes.size() >= 12 && bytes.substr(8, 4) == "WEBP"sv) {
    return &CodecOf(Format::kWebp);
  }
  return nullptr;
}

}  // namespace

std::string_view MediaType(Format format) { return CodecOf(format).media_type; }

absl::StatusOr<Header> ReadHeader(std::string_view bytes, const Limits& limits) {
  if (bytes.empty()) return Invalid("the image is empty");
  if (bytes.size() > limits.bytes_max) {
    return Invalid("the image has ", bytes.size(), " bytes; at most ", limits.bytes_max,
                   " are allowed");
  }
  const Codec* codec = Sniff(bytes);
  if (codec == nullptr) return Invalid("not a JPEG, PNG, BMP, TIFF or WebP file");
  HFWA_ASSIGN_OR_RETURN(Header header, codec->read_header(bytes));
  HFWA_RETURN_IF_ERROR(internal::CheckSize(codec->name, header.width, header.height, limits));
  return header;
}

absl::StatusOr<Image> Decode(std::string_view bytes, const DecodeOptions& options) {
  try {
    HFWA_ASSIGN_OR_RETURN(const Header header, ReadHeader(bytes, options.limits));
    HFWA_ASSIGN_OR_RETURN(Image image, CodecOf(header.format).decode(bytes, options));
    // Pillow leaves the orientation to its caller, but turns TIFFs itself.
    if (!options.apply_orientation && header.format != Format::kTiff) return image;
    return internal::Upright(std::move(image), header.orientation);
  } catch (const std::exception& error) {  // std::bad_alloc
    return absl::ResourceExhaustedError(absl::StrCat("decoding an image: ", error.what()));
  }
}

}  // namespace hfwa::image
