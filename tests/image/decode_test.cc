// Headers, limits, messages, raw pixels.

#include "core/image/decode.h"

#include <gmock/gmock.h>

#include "core/image/render.h"
#include "tests/image/hostile_files.h"
#include "tests/image/testing.h"

namespace hfwa::image {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string ErrorOf(std::string_view bytes, const DecodeOptions& options = {}) {
  const absl::Status status = Decode(bytes, options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  return std::string(status.message());
}

TEST(Header, tells_format_and_size_of_each_format) {
  const struct {
    std::string path;
    Format format;
    std::string_view media_type;
  } cases[] = {{SamplePath("orientation1.jpg"), Format::kJpeg, "image/jpeg"},
               {SamplePath("orientation6.png"), Format::kPng, "image/png"},
               {SamplePath("rgb.bmp"), Format::kBmp, "image/bmp"},
               {SamplePath("big.tiff"), Format::kTiff, "image/tiff"},
               {SamplePath("lossy_alpha.webp"), Format::kWebp, "image/webp"}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.path);
    const absl::StatusOr<Header> header = ReadHeader(ReadFile(c.path), Limits());
    ASSERT_TRUE(header.ok()) << header.status();
    EXPECT_EQ(header->format, c.format);
    EXPECT_EQ(MediaType(header->format), c.media_type);
    const bool small = c.path.find("orientation") != std::string::npos;
    EXPECT_EQ(header->width, small ? 17 : 37);
    EXPECT_EQ(header->height, small ? 9 : 29);
  }
}

TEST(Decode, names_what_is_wrong) {
  EXPECT_EQ(ErrorOf(""), "the image is empty");
  EXPECT_EQ(ErrorOf("GIF89a"), "not a JPEG, PNG, BMP, TIFF or WebP file");
  const std::string jpeg = ReadFile(ParityPath("src/jpeg420.jpg"));
  EXPECT_THAT(ErrorOf(std::string_view(jpeg).substr(0, jpeg.size() / 2)), StartsWith("JPEG: "));
  EXPECT_EQ(ErrorOf(std::string_view(jpeg).substr(0, 30)),
            "JPEG ends within a segment, after 30 bytes");
  EXPECT_THAT(ErrorOf(JpegStart(0xC9, 8, 8, "\x11")), HasSubstr("arithmetic"));
  EXPECT_THAT(ErrorOf(JpegStart(0xC3, 8, 8, "\x11")), HasSubstr("lossless"));
  const std::string png = ReadFile(ParityPath("src/rgb.png"));
  EXPECT_THAT(ErrorOf(std::string_view(png).substr(0, png.size() - 12)),
              StartsWith("PNG ends before its IEND"));
  std::string damaged = png;
  damaged[png.size() / 2] ^= 0x40;
  EXPECT_THAT(ErrorOf(damaged), StartsWith("PNG: "));
  EXPECT_EQ(ErrorOf(PngOfZeros(1, 1, 8, 0, false).replace(16, 4, Be32(0))),
            "PNG says 0 x 1 pixels");
}

TEST(Decode, limits_are_settings) {
  const std::string png = ReadFile(ParityPath("src/rgb.png"));  // 180 x 120
  const auto error = [&](const Limits& limits) { return ErrorOf(png, {.limits = limits}); };
  EXPECT_THAT(error({.bytes_max = png.size() - 1}), HasSubstr("at most"));
  EXPECT_THAT(error({.pixels_max = 180 * 120 - 1}), HasSubstr("at most 21599 are allowed"));
  EXPECT_THAT(error({.side_max = 179}), HasSubstr("a side may have at most 179"));
  EXPECT_TRUE(
      Decode(png, {.limits = {.bytes_max = png.size(), .pixels_max = 180 * 120, .side_max = 180}})
          .ok());
  const std::string progressive = ReadFile(ParityPath("src/progressive.jpg"));
  EXPECT_THAT(ErrorOf(progressive, {.limits = {.jpeg_scans_max = 3}}),
              HasSubstr("more than 3 scans"));
  EXPECT_THAT(ErrorOf(progressive, {.limits = {.decoder_memory_max = 1000}}),
              HasSubstr("more than 1000 bytes"));
}

TEST(Decode, png_grey_of_16_bits_is_scaled_or_clipped) {
  const uint16_t values[] = {0x0001, 0x00FF, 0x0100, 0x1234, 0xFFFF, 0x8000};
  const absl::StatusOr<std::string> png = EncodePngGrey16Pixels(values, 3, 2);
  ASSERT_TRUE(png.ok());
  const auto reds = [&](Grey16 mode) {
    const Image image = MustDecode(*png, {.grey16 = mode});
    std::vector<int> out;
    for (size_t i = 0; i < image.rgb.size(); i += 3) out.push_back(image.rgb[i]);
    return out;
  };
  EXPECT_THAT(reds(Grey16::kScale), ElementsAre(0x00, 0x00, 0x01, 0x12, 0xFF, 0x80));
  EXPECT_THAT(reds(Grey16::kClip), ElementsAre(0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF));
}

TEST(Decode, palette_index_beyond_the_palette_is_grey_as_in_pillow) {
  const std::string png = PngStart(2, 1, 8, 3, false) +
                          PngChunk("IDAT", Deflate(std::string("\0\1\7", 3))) +
                          PngChunk("IEND", "");
  EXPECT_THAT(MustDecode(png).rgb, ElementsAre('d', 'e', 'f', 7, 7, 7));
}

// Interlaced pictures must decode as their plain twins do.
TEST(Decode, interlaced_png_of_every_kind) {
  for (const auto& [colour, bits] : {std::pair(0U, 1U),
                                     {0U, 2U},
                                     {0U, 4U},
                                     {0U, 8U},
                                     {0U, 16U},
                                     {2U, 8U},
                                     {2U, 16U},
                                     {3U, 1U},
                                     {3U, 8U},
                                     {4U, 8U},
                                     {4U, 16U},
                                     {6U, 8U},
                                     {6U, 16U}}) {
    for (uint32_t side : {1U, 2U, 5U, 9U}) {
      SCOPED_TRACE(colour * 100 + bits);
      EXPECT_EQ(MustDecode(PngOfZeros(side, side + 1, bits, colour, true)).rgb,
                MustDecode(PngOfZeros(side, side + 1, bits, colour, false)).rgb);
    }
  }
}

TEST(Decode, exif_orientation_out_of_range_is_upright) {
  for (uint32_t value : {0U, 9U, 65535U}) {
    const std::string exif = std::string("Exif\0\0", 6) + Tiff("", {{274, 3, 1, value}});
    const std::string jpeg = ReadFile(ParityPath("src/grey.jpg"));
    const std::string with = jpeg.substr(0, 2) + JpegSegment(0xE1, exif) + jpeg.substr(2);
    const absl::StatusOr<Header> header = ReadHeader(with, Limits());
    ASSERT_TRUE(header.ok()) << header.status();
    EXPECT_EQ(header->orientation, 1);
  }
}

TEST(Decode, run_lengths_skip_and_stop) {
  // Two pixels of colour 1, then on to (3, 1), one pixel, end: all else is colour 0.
  std::string bmp = Bmp(4, 2, 8, 1, std::string("\2\1\0\2\1\1\1\2\0\1", 10));
  for (size_t i = 0; i < 4; ++i) bmp[54 + i] = 0;
  bmp.replace(58, 3, "ABC");
  bmp.replace(62, 3, "abc");
  const Image image = MustDecode(bmp);
  EXPECT_THAT(image.rgb, ElementsAre(0, 0, 0, 0, 0, 0, 0, 0, 0, 'c', 'b', 'a',  // upper row
                                     'C', 'B', 'A', 'C', 'B', 'A', 0, 0, 0, 0, 0, 0));
}

TEST(Decode, bmp_bit_fields_that_no_colour_fits_are_refused) {
  for (uint32_t mask : {0U, 0xFFFFFFFFU, 0x1FFU, 0x505U}) {
    std::string bmp = Bmp(1, 1, 16, 3, Le32(mask) + Le32(0x7E0) + Le32(0x1F) + Le32(0));
    EXPECT_EQ(ErrorOf(bmp), "BMP: unsupported bit fields") << mask;
  }
}

// --- raw pixels ---

std::string RawError(const RawPixels& raw, const DecodeOptions& options = {}) {
  const absl::Status status = FromRaw(raw, options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  return std::string(status.message());
}

TEST(FromRaw, reads_every_format) {
  const struct {
    PixelFormat format;
    std::string_view data;  // one pixel
    std::vector<uint8_t> rgb;
  } cases[] = {{PixelFormat::kGray8, "\x07", {7, 7, 7}},
               {PixelFormat::kGray16, "\x34\x12", {0x12, 0x12, 0x12}},
               {PixelFormat::kRgb8, "\x01\x02\x03", {1, 2, 3}},
               {PixelFormat::kBgr8, "\x01\x02\x03", {3, 2, 1}},
               {PixelFormat::kRgba8, "\x01\x02\x03\x04", {1, 2, 3}},
               {PixelFormat::kBgra8, "\x01\x02\x03\x04", {3, 2, 1}}};
  for (const auto& c : cases) {
    SCOPED_TRACE(static_cast<int>(c.format));
    // Two rows, five bytes of padding between them, none after the last.
    const std::string data = std::string(c.data) + "xxxxx" + std::string(c.data);
    const absl::StatusOr<Image> image = FromRaw({.width = 1,
                                                 .height = 2,
                                                 .stride = static_cast<int64_t>(c.data.size()) + 5,
                                                 .format = c.format,
                                                 .data = data},
                                                {});
    ASSERT_TRUE(image.ok()) << image.status();
    EXPECT_EQ(std::vector(image->rgb.begin(), image->rgb.begin() + 3), c.rgb);
    EXPECT_EQ(std::vector(image->rgb.begin() + 3, image->rgb.end()), c.rgb);
  }
  const absl::StatusOr<Image> clipped = FromRaw({.width = 2,
                                                 .height = 1,
                                                 .format = PixelFormat::kGray16,
                                                 .data = std::string_view("\x34\x12\x09\x00", 4)},
                                                DecodeOptions::Paper());
  ASSERT_TRUE(clipped.ok());
  EXPECT_THAT(clipped->rgb, ElementsAre(255, 255, 255, 9, 9, 9));
}

TEST(FromRaw, demosaics_by_the_names_of_the_first_two_rows) {
  const struct {
    PixelFormat format;
    std::string_view pattern;
  } cases[] = {{PixelFormat::kBayerRg8, "RGGB"},
               {PixelFormat::kBayerBg8, "BGGR"},
               {PixelFormat::kBayerGr8, "GRBG"},
               {PixelFormat::kBayerGb8, "GBRG"}};
  for (const auto& c : cases) {
    SCOPED_TRACE(std::string(c.pattern));
    // A flat colour as the sensor sees it comes back flat.
    std::string mosaic;
    for (int y = 0; y < 6; ++y) {
      for (int x = 0; x < 8; ++x) {
        const char colour = c.pattern[static_cast<size_t>(y % 2 * 2 + x % 2)];
        mosaic.push_back(static_cast<char>(colour == 'R' ? 200 : colour == 'G' ? 100 : 50));
      }
      mosaic += "pad";
    }
    const absl::StatusOr<Image> image =
        FromRaw({.width = 8, .height = 6, .stride = 11, .format = c.format, .data = mosaic}, {});
    ASSERT_TRUE(image.ok()) << image.status();
    for (size_t i = 0; i < image->rgb.size(); i += 3) {
      ASSERT_THAT(std::vector(image->rgb.begin() + static_cast<std::ptrdiff_t>(i),
                              image->rgb.begin() + static_cast<std::ptrdiff_t>(i) + 3),
                  ElementsAre(200, 100, 50))
          << "pixel " << i / 3;
    }
  }
}

TEST(FromRaw, names_the_field_at_fault) {
  const std::string data(1000, 'x');
  const RawPixels good{
      .width = 10, .height = 10, .stride = 0, .format = PixelFormat::kRgb8, .data = data};
  EXPECT_TRUE(FromRaw(good, {}).ok());
  const auto with = [&](auto change) {
    RawPixels raw = good;
    change(raw);
    return RawError(raw);
  };
  EXPECT_THAT(with([](RawPixels& r) { r.width = 0; }), StartsWith("width "));
  EXPECT_THAT(with([](RawPixels& r) { r.width = 16385; }), StartsWith("width "));
  EXPECT_THAT(with([](RawPixels& r) { r.width = INT32_MIN; }), StartsWith("width "));
  EXPECT_THAT(with([](RawPixels& r) { r.height = -1; }), StartsWith("height "));
  EXPECT_THAT(with([](RawPixels& r) { r.height = INT32_MAX; }), StartsWith("height "));
  EXPECT_THAT(with([](RawPixels& r) { r.width = r.height = 16384; }),
              StartsWith("width x height "));
  EXPECT_THAT(with([](RawPixels& r) { r.stride = 29; }), StartsWith("stride "));
  EXPECT_THAT(with([](RawPixels& r) { r.stride = -30; }), StartsWith("stride "));
  EXPECT_THAT(with([](RawPixels& r) { r.stride = INT64_MAX; }), StartsWith("stride "));
  EXPECT_THAT(with([](RawPixels& r) { r.stride = INT64_MIN; }), StartsWith("stride "));
  EXPECT_THAT(with([](RawPixels& r) { r.stride = 108; }), StartsWith("data "));
  EXPECT_THAT(with([](RawPixels& r) { r.data = r.data.substr(0, 299); }), StartsWith("data "));
  EXPECT_THAT(with([](RawPixels& r) { r.data = {}; }), StartsWith("data "));
  EXPECT_THAT(with([](RawPixels& r) { r.format = static_cast<PixelFormat>(99); }),
              StartsWith("format "));
  EXPECT_THAT(with([](RawPixels& r) { r.format = PixelFormat::kBayerRg8, r.width = 9; }),
              StartsWith("width "));
  EXPECT_THAT(with([](RawPixels& r) { r.format = PixelFormat::kBayerRg8, r.height = 9; }),
              StartsWith("height "));
  EXPECT_THAT(RawError(good, {.limits = {.bytes_max = 999}}), StartsWith("data "));
}

}  // namespace
}  // namespace hfwa::image
