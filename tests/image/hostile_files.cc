#include "tests/image/hostile_files.h"

#include <zlib.h>

#include <algorithm>

namespace hfwa::image {
namespace {

std::string Number(uint32_t value, int bytes, bool big_endian) {
  std::string out;
  for (int i = 0; i < bytes; ++i) {
    out.push_back(static_cast<char>(value >> 8 * (big_endian ? bytes - 1 - i : i)));
  }
  return out;
}

std::string Bytes(std::initializer_list<uint32_t> values) {
  std::string out;
  for (uint32_t value : values) out.push_back(static_cast<char>(value));
  return out;
}

// A Huffman table with one code, "0".
std::string OneCode(uint32_t table, uint32_t symbol) {
  return Bytes({table, 1}) + std::string(15, '\0') + Bytes({symbol});
}

void AddJpegs(std::vector<HostileFile>& files) {
  files.push_back({"JPEG 65500 x 65500", JpegStart(0xC0, 65500, 65500, "\x11"), true});
  for (const auto& [side, scans] :
       {std::pair(16000U, 500), std::pair(4096U, 1000), std::pair(16U, 80000)}) {
    std::string bytes = JpegStart(0xC2, side, side, "\x11");
    for (int i = 0; i < scans; ++i) {
      const uint32_t k = 1 + static_cast<uint32_t>(i) % 63;
      bytes += JpegScan("\1", k, k, 0, 0);
    }
    files.push_back(
        {"JPEG " + std::to_string(side) + " with " + std::to_string(scans) + " empty scans", bytes,
         false});
  }
  {
    // As many scans as the limits let through: each refines what was promised, none says a thing.
    std::string bytes = JpegStart(0xC2, 6320, 6320, "\x22\x11\x11");
    bytes += JpegScan("\1\2\3", 0, 0, 0, 117'100) + JpegScan("\1", 1, 63, 13, 75);
    for (uint32_t low = 13; low-- > 0;) bytes += JpegScan("\1", 1, 63, (low + 1) << 4 | low, 75);
    files.push_back({"JPEG 40 MP 4:2:0, 13 refinements without data", bytes + "\xff\xd9", false});
    for (int i = 0; i < 48; ++i) bytes += JpegScan("\1", 1, 63, 0x10, 75);
    files.push_back({"JPEG 40 MP 4:2:0, 61 refinements without data", bytes + "\xff\xd9", false});
  }
  {
    std::string bytes = JpegStart(0xC2, 6320, 6320, "\x11");
    bytes += JpegScan("\1", 0, 0, 0, 80'000);
    for (int i = 0; i < 62; ++i) bytes += JpegScan("\1", 1, 63, 0, 200);
    files.push_back({"JPEG 40 MP grey, 62 first passes without data", bytes + "\xff\xd9", false});
  }
  {
    std::string bytes = JpegStart(0xC2, 6320, 6320, "\x11\x11\x11\x11");
    bytes += JpegScan("\1\2\3\4", 0, 0, 0, 400'000);
    files.push_back({"JPEG 40 MP CMYK, progressive", bytes + "\xff\xd9", false});
  }
  {
    std::string bytes = JpegStart(0xC1, 6320, 6320, "\x11\x11\x11");
    bytes += JpegScan("\1", 0, 63, 0, 400'000) + JpegScan("\2", 0, 63, 0, 400'000);
    files.push_back({"JPEG 40 MP, baseline of several scans", bytes + "\xff\xd9", false});
  }
  files.push_back({"JPEG of 300 bytes that claims 40 MP",
                   JpegStart(0xC0, 6320, 6320, "\x11\x11\x11") + JpegScan("\1\2\3", 0, 63, 0, 30),
                   false});
  std::string profiles = "\xff\xd8";
  for (int i = 0; i < 400; ++i) {
    profiles +=
        JpegSegment(0xE2, std::string("ICC_PROFILE\0\1\1", 14) + std::string(65000, '\xff'));
  }
  files.push_back({"JPEG of 400 colour profiles", profiles, false});
}

void AddPngs(std::vector<HostileFile>& files) {
  files.push_back({"PNG 40000 x 40000", PngOfZeros(16, 16, 8, 0, false), true});
  files.back().bytes.replace(16, 8, Be32(40000) + Be32(40000));
  files.push_back(
      {"PNG 16000 x 16000", PngStart(16000, 16000, 8, 0, false) + std::string(30000, 'x'), true});
  files.push_back(
      {"PNG of 100 bytes that claims 40 MP",
       PngStart(6320, 6320, 16, 6, false) + PngChunk("IDAT", Deflate("abc")) + PngChunk("IEND", ""),
       false});
  files.push_back(
      {"PNG 40 MP of zeros, 16-bit RGBA, interlaced", PngOfZeros(6320, 6320, 16, 6, true), false});
  files.push_back(
      {"PNG 40 MP of zeros, 8-bit palette, interlaced", PngOfZeros(6320, 6320, 8, 3, true), false});
  files.push_back(
      {"PNG 40 MP of zeros, 1-bit, interlaced", PngOfZeros(16384, 2441, 1, 0, true), false});
  files.push_back(
      {"PNG 40 MP of zeros, 16-bit grey, interlaced", PngOfZeros(6320, 6320, 16, 0, true), false});
  const std::string text = Deflate(std::string(64U << 20, '\0'));
  for (const char* type : {"zTXt", "iCCP", "iTXt"}) {
    std::string bytes = PngStart(16, 16, 8, 2, false);
    for (int i = 0; i < 20; ++i) {
      // Keyword, compression method; iTXt has flag, method, language and translation.
      const std::string head =
          std::string(type) == "iTXt" ? std::string("k\0\1\0\0\0", 6) : std::string("k\0\0", 3);
      bytes += PngChunk(type, head + text);
    }
    bytes += PngChunk("IDAT", Deflate(std::string(16 * 49, '\0'))) + PngChunk("IEND", "");
    files.push_back({std::string("PNG of 20 ") + type + " of 64 MB each", bytes, false});
  }
  files.push_back({"PNG 1 x 1 with 256 MB after its only row",
                   PngStart(1, 1, 8, 0, false) +
                       PngChunk("IDAT", Deflate(std::string(256U << 20, '\0'))) +
                       PngChunk("IEND", ""),
                   false});
  std::string empty_chunks = PngStart(16, 16, 8, 0, false);
  for (int i = 0; i < 1'000'000; ++i) empty_chunks += PngChunk("IDAT", "");
  files.push_back({"PNG of a million empty IDAT", empty_chunks + PngChunk("IEND", ""), false});
}

void AddTiffs(std::vector<HostileFile>& files) {
  const std::vector<TiffTag> base = {{258, 3, 1, 8}, {262, 3, 1, 1}, {277, 3, 1, 1}};
  const auto with = [&](std::vector<TiffTag> more, std::string_view data = "0123456789abcdef") {
    more.insert(more.end(), base.begin(), base.end());
    return Tiff(data, more);
  };
  files.push_back({"TIFF 40000 x 40000", with({{256, 4, 1, 40000}, {257, 4, 1, 40000}}), true});
  files.push_back({"TIFF with a strip of 2 GB",
                   with({{256, 4, 1, 6000},
                         {257, 4, 1, 6000},
                         {273, 4, 1, 8},
                         {278, 4, 1, 6000},
                         {279, 4, 1, 0x7FFFFFFF}}),
                   false});
  files.push_back({"TIFF with 2^32 - 1 strips",
                   with({{256, 4, 1, 6000},
                         {257, 4, 1, 6000},
                         {273, 4, 0xFFFFFFFF, 8},
                         {278, 4, 1, 1},
                         {279, 4, 0xFFFFFFFF, 8}}),
                   false});
  files.push_back({"TIFF of tiles of 16 x 16, none there",
                   with({{256, 4, 1, 6000},
                         {257, 4, 1, 6000},
                         {322, 4, 1, 16},
                         {323, 4, 1, 16},
                         {324, 4, 140625, 8},
                         {325, 4, 140625, 8}}),
                   false});
  files.push_back({"TIFF 1 x 1 in a tile of 16384 x 16384",
                   with({{256, 4, 1, 1},
                         {257, 4, 1, 1},
                         {322, 4, 1, 16384},
                         {323, 4, 1, 16384},
                         {324, 4, 1, 8},
                         {325, 4, 1, 16}}),
                   false});
  files.push_back(
      {"TIFF of zero rows in a strip",
       with(
           {{256, 4, 1, 6000}, {257, 4, 1, 6000}, {273, 4, 1, 8}, {278, 4, 1, 0}, {279, 4, 1, 16}}),
       false});
  // One small piece of Deflate that every strip points to: 40 MP of RGB.
  const uint32_t rows = 64;
  const std::string strip = Deflate(std::string(6320 * 3 * rows, '\7'));
  std::string data = strip + std::string(strip.size() % 2, '\0');
  const uint32_t count = (6320 + rows - 1) / rows;
  const auto offsets_at = static_cast<uint32_t>(8 + data.size());
  for (uint32_t i = 0; i < count; ++i) data += Le32(8);
  const auto counts_at = static_cast<uint32_t>(8 + data.size());
  for (uint32_t i = 0; i < count; ++i) data += Le32(static_cast<uint32_t>(strip.size()));
  const auto bits_at = static_cast<uint32_t>(8 + data.size());
  data += Le16(8) + Le16(8) + Le16(8);
  files.push_back({"TIFF 40 MP of one shared strip",
                   Tiff(data, {{256, 4, 1, 6320},
                               {257, 4, 1, 6320},
                               {258, 3, 3, bits_at},
                               {259, 3, 1, 8},
                               {262, 3, 1, 2},
                               {273, 4, count, offsets_at},
                               {277, 3, 1, 3},
                               {278, 4, 1, rows},
                               {279, 4, count, counts_at}}),
                   false});
  // A directory that is its own successor.
  std::string loop = with({{256, 4, 1, 4}, {257, 4, 1, 4}, {273, 4, 1, 8}, {279, 4, 1, 16}});
  loop.replace(loop.size() - 4, 4, loop.substr(4, 4));
  files.push_back({"TIFF whose directory follows itself", loop, false});
}

void AddOthers(std::vector<HostileFile>& files) {
  files.push_back({"BMP 2^31 - 1 squared", Bmp(0x7FFFFFFF, 0x7FFFFFFF, 24, 0, "abc"), true});
  files.push_back({"BMP 40 MP without pixels", Bmp(6320, 6320, 32, 0, ""), false});
  files.push_back({"BMP 40 MP, run lengths that end at once",
                   Bmp(6320, 6320, 8, 1, std::string("\0\1", 2)), false});
  files.push_back({"WebP 40 MP of one colour", WebpOfOneColour(6320, 6320), false});
  files.push_back({"WebP 30 MP of one colour", WebpOfOneColour(5470, 5470), false});
}

}  // namespace

std::string Be16(uint32_t value) { return Number(value, 2, true); }
std::string Be32(uint32_t value) { return Number(value, 4, true); }
std::string Le16(uint32_t value) { return Number(value, 2, false); }
std::string Le32(uint32_t value) { return Number(value, 4, false); }

std::string Deflate(std::string_view bytes) {
  uLongf size = compressBound(bytes.size());
  std::string out(size, '\0');
  compress2(reinterpret_cast<Bytef*>(out.data()), &size,
            reinterpret_cast<const Bytef*>(bytes.data()), bytes.size(), 6);
  out.resize(size);
  return out;
}

std::string JpegSegment(uint8_t marker, std::string_view payload) {
  return Bytes({0xFF, marker}) + Be16(static_cast<uint32_t>(payload.size() + 2)) +
         std::string(payload);
}

std::string JpegStart(uint8_t frame_marker, uint32_t width, uint32_t height,
                      std::string_view sampling) {
  std::string frame =
      Bytes({8}) + Be16(height) + Be16(width) + Bytes({static_cast<uint32_t>(sampling.size())});
  for (uint32_t i = 0; i < sampling.size(); ++i) {
    frame += Bytes({i + 1, static_cast<uint8_t>(sampling[i]), 0});
  }
  return "\xff\xd8" + JpegSegment(0xDB, Bytes({0}) + std::string(64, '\1')) +
         JpegSegment(frame_marker, frame) +
         // A sequential block ends by symbol 0, a progressive one by a run of ended blocks.
         JpegSegment(0xC4, OneCode(0, 0) + OneCode(0x10, frame_marker == 0xC2 ? 0xE0 : 0));
}

std::string JpegScan(std::string_view components, uint32_t first, uint32_t last, uint32_t high_low,
                     size_t data) {
  std::string payload = Bytes({static_cast<uint32_t>(components.size())});
  for (char id : components) payload += id + Bytes({0});
  return JpegSegment(0xDA, payload + Bytes({first, last, high_low})) + std::string(data, '\0');
}

std::string PngChunk(std::string_view type, std::string_view payload) {
  const std::string body = std::string(type) + std::string(payload);
  const auto crc =
      crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()));
  return Be32(static_cast<uint32_t>(payload.size())) + body + Be32(static_cast<uint32_t>(crc));
}

std::string PngStart(uint32_t width, uint32_t height, uint32_t bits, uint32_t colour,
                     bool interlaced) {
  std::string out =
      "\x89PNG\r\n\x1a\n" + PngChunk("IHDR", Be32(width) + Be32(height) +
                                                 Bytes({bits, colour, 0, 0, interlaced ? 1U : 0U}));
  if (colour == 3) out += PngChunk("PLTE", "abcdef");
  return out;
}

std::string PngOfZeros(uint32_t width, uint32_t height, uint32_t bits, uint32_t colour,
                       bool interlaced) {
  const size_t channels = colour == 2 ? 3 : colour == 4 ? 2 : colour == 6 ? 4 : 1;
  size_t size = 0;
  const auto add = [&](size_t x0, size_t dx, size_t y0, size_t dy) {
    const size_t columns = width > x0 ? (width - x0 + dx - 1) / dx : 0;
    const size_t lines = height > y0 ? (height - y0 + dy - 1) / dy : 0;
    if (columns > 0) size += lines * (1 + (columns * channels * bits + 7) / 8);
  };
  if (interlaced) {
    constexpr size_t kPasses[7][4] = {{0, 8, 0, 8}, {4, 8, 0, 8}, {0, 4, 4, 8}, {2, 4, 0, 4},
                                      {0, 2, 2, 4}, {1, 2, 0, 2}, {0, 1, 1, 2}};
    for (const auto& pass : kPasses) add(pass[0], pass[1], pass[2], pass[3]);
  } else {
    add(0, 1, 0, 1);
  }
  return PngStart(width, height, bits, colour, interlaced) +
         PngChunk("IDAT", Deflate(std::string(size, '\0'))) + PngChunk("IEND", "");
}

std::string Tiff(std::string_view data, const std::vector<TiffTag>& tags) {
  std::vector<TiffTag> sorted = tags;
  std::sort(sorted.begin(), sorted.end(),
            [](const TiffTag& a, const TiffTag& b) { return a.tag < b.tag; });
  const std::string padded = std::string(data) + std::string(data.size() % 2, '\0');
  std::string out = std::string("II*\0", 4) + Le32(static_cast<uint32_t>(8 + padded.size())) +
                    padded + Le16(static_cast<uint32_t>(sorted.size()));
  for (const TiffTag& tag : sorted)
    out += Le16(tag.tag) + Le16(tag.type) + Le32(tag.count) + Le32(tag.value);
  return out + Le32(0);
}

std::string Bmp(uint32_t width, uint32_t height, uint32_t bits, uint32_t compression,
                std::string_view data) {
  const std::string palette(bits <= 8 ? 4U << bits : 0U, '\x55');
  const auto offset = static_cast<uint32_t>(54 + palette.size());
  return "BM" + Le32(offset + static_cast<uint32_t>(data.size())) + Le32(0) + Le32(offset) +
         Le32(40) + Le32(width) + Le32(height) + Le16(1) + Le16(bits) + Le32(compression) +
         Le32(0) + Le32(0) + Le32(0) + Le32(0) + Le32(0) + palette + std::string(data);
}

std::string WebpOfOneColour(uint32_t width, uint32_t height) {
  uint64_t bits = 0;
  int used = 0;
  std::string stream = "\x2f" + Le32((width - 1) | (height - 1) << 14);
  const auto put = [&](uint32_t value, int count) {
    bits |= uint64_t{value} << used;
    for (used += count; used >= 8; used -= 8, bits >>= 8) stream.push_back(static_cast<char>(bits));
  };
  put(0, 1);  // no transformation
  put(0, 1);  // no colour cache
  put(0, 1);  // one set of codes
  for (int code = 0; code < 5; ++code) {
    put(1, 1);  // simple code
    put(0, 1);  // of one symbol
    put(0, 1);  // written in one bit
    put(0, 1);  // symbol 0
  }
  put(0, 7);
  put(0, 32);
  stream += std::string(stream.size() % 2, '\0');
  const std::string chunk = "VP8L" + Le32(static_cast<uint32_t>(stream.size())) + stream;
  return "RIFF" + Le32(static_cast<uint32_t>(chunk.size() + 4)) + "WEBP" + chunk;
}

std::vector<HostileFile> HostileFiles() {
  std::vector<HostileFile> files;
  AddJpegs(files);
  AddPngs(files);
  AddTiffs(files);
  AddOthers(files);
  return files;
}

}  // namespace hfwa::image
