#include "core/store/feature_cache.h"

#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/file_system.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/store/objects.h"

namespace hfwa::store {
namespace {

// File: the fixed part, the header's text, the values, XXH3 of all that and of the file's place.
// Little-endian.
constexpr char kMagic[8] = {'h', 'f', 'w', 'a', 'f', 'e', 'a', 't'};
constexpr uint32_t kVersion = 1;
constexpr size_t kMaxHeader = 4096;
constexpr size_t kMaxValues = size_t{1} << 31;
static_assert(std::endian::native == std::endian::little, "the files are little-endian");

struct FixedPart {
  char magic[8];
  uint32_t version;
  uint32_t header_bytes;
  uint64_t count;
};
static_assert(sizeof(FixedPart) == 24);

size_t BodySize(size_t header_bytes, size_t count) {
  return sizeof(FixedPart) + header_bytes + count * sizeof(float);
}

// `place` makes a file that got another one's name count as damaged.
uint64_t ChecksumOf(std::string_view body, const std::string& place) {
  return XXH3_64bits_withSeed(body.data(), body.size(), XXH3_64bits(place.data(), place.size()));
}

std::string Encode(const std::string& header, absl::Span<const float> values,
                   const std::string& place) {
  FixedPart fixed{};
  std::memcpy(fixed.magic, kMagic, sizeof(kMagic));
  fixed.version = kVersion;
  fixed.header_bytes = static_cast<uint32_t>(header.size());
  fixed.count = values.size();
  std::string file;
  file.reserve(BodySize(header.size(), values.size()) + sizeof(uint64_t));
  file.append(reinterpret_cast<const char*>(&fixed), sizeof(fixed));
  file.append(header);
  file.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
  const uint64_t checksum = ChecksumOf(file, place);
  file.append(reinterpret_cast<const char*>(&checksum), sizeof(checksum));
  return file;
}

// The values' bytes within `file`; empty text and false if it is not what Encode makes of the same
// arguments.
bool Check(std::string_view file, const std::string& header, size_t count, const std::string& place,
           std::string_view& values) {
  const size_t body = BodySize(header.size(), count);
  if (file.size() != body + sizeof(uint64_t)) return false;
  FixedPart fixed;
  std::memcpy(&fixed, file.data(), sizeof(fixed));
  uint64_t checksum;
  std::memcpy(&checksum, file.data() + body, sizeof(checksum));
  if (std::memcmp(fixed.magic, kMagic, sizeof(kMagic)) != 0 || fixed.version != kVersion ||
      fixed.header_bytes != header.size() || fixed.count != count ||
      file.substr(sizeof(fixed), header.size()) != header ||
      checksum != ChecksumOf(file.substr(0, body), place)) {
    return false;
  }
  values = file.substr(sizeof(fixed) + header.size(), count * sizeof(float));
  return true;
}

// The fingerprint's folder and the image: the same wherever the cache as a whole is moved to.
std::string PlaceOf(const std::string& directory, const std::string& image_sha256) {
  return absl::StrCat(directory.substr(directory.rfind('/') + 1), "/", image_sha256);
}

absl::Status MakeFolder(const std::string& path) {
  const absl::Status made = FileSystem::Real().MakeDirectory(path);
  return absl::IsAlreadyExists(made) ? absl::OkStatus() : made;
}

// Unique among the threads and processes that write here.
std::string TemporaryName(const std::string& path) {
  static std::atomic<uint64_t> next{0};
  return absl::StrCat(path, ".", ::getpid(), ".", next++, ".tmp");
}

absl::Status CheckArguments(const std::string& image_sha256, const std::string& header,
                            size_t count) {
  if (!IsSha256(image_sha256))
    return absl::InvalidArgumentError("sha256 must be 64 hexadecimal digits");
  if (header.size() > kMaxHeader) return absl::InvalidArgumentError("header too long");
  if (count > kMaxValues) return absl::InvalidArgumentError("too many values");
  return absl::OkStatus();
}

}  // namespace

FeatureCache::FeatureCache(const std::string& directory, const std::string& fingerprint,
                           int64_t bytes_max)
    : directory_(absl::StrCat(directory, "/", Sha256Hex(fingerprint).substr(0, 32))),
      budget_(bytes_max) {
  Load();
}

void FeatureCache::Load() {
  struct Found {
    bool own;
    absl::Time modified;
    std::string path;
    int64_t bytes;
  };
  std::vector<Found> found;
  FileSystem& files = FileSystem::Real();
  // What can't be listed or looked at is not counted: a cache never keeps anybody from starting.
  const auto names_in = [&](const std::string& path) {
    auto names = files.List(path);
    return names.ok() ? *std::move(names) : std::vector<std::string>();
  };
  const std::string root = ParentDirectory(directory_);
  for (const std::string& fingerprint : names_in(root)) {
    const std::string folder = absl::StrCat(root, "/", fingerprint);
    for (const std::string& part : names_in(folder)) {
      for (const std::string& name : names_in(absl::StrCat(folder, "/", part))) {
        const std::string path = absl::StrCat(folder, "/", part, "/", name);
        if (absl::EndsWith(name, ".tmp")) {  // of a process that was killed
          files.Remove(path).IgnoreError();
        } else if (const auto info = files.Stat(path); info.ok()) {
          found.push_back({folder == directory_, info->modified, path, info->bytes});
        }
      }
    }
  }
  std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) {
    return std::tie(a.own, a.modified, a.path) < std::tie(b.own, b.modified, b.path);
  });
  for (const Found& file : found) Count(file.path, file.bytes);
}

void FeatureCache::Count(const std::string& path, int64_t bytes) {
  for (const std::string& gone : budget_.Add(path, bytes))
    FileSystem::Real().Remove(gone).IgnoreError();
}

std::string FeatureCache::PathOf(const std::string& image_sha256) const {
  return absl::StrCat(directory_, "/", image_sha256.substr(0, 2), "/", image_sha256.substr(2));
}

absl::Status FeatureCache::Put(const std::string& image_sha256, const std::string& header,
                               absl::Span<const float> values) {
  HFWA_RETURN_IF_ERROR(CheckArguments(image_sha256, header, values.size()));
  FileSystem& files = FileSystem::Real();
  const std::string path = PathOf(image_sha256);
  HFWA_RETURN_IF_ERROR(MakeFolder(ParentDirectory(directory_)));
  HFWA_RETURN_IF_ERROR(MakeFolder(directory_));
  HFWA_RETURN_IF_ERROR(MakeFolder(ParentDirectory(path)));
  const std::string temporary = TemporaryName(path);
  HFWA_ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> file, files.Create(temporary));
  const std::string bytes = Encode(header, values, PlaceOf(directory_, image_sha256));
  absl::Status written = file->Write(bytes);
  if (written.ok()) written = file->Close();
  if (written.ok()) written = files.Rename(temporary, path);
  if (!written.ok()) {
    files.Remove(temporary).IgnoreError();
    return written;
  }
  Count(path, static_cast<int64_t>(bytes.size()));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<float>> FeatureCache::Get(const std::string& image_sha256,
                                                     const std::string& header,
                                                     size_t count) const {
  HFWA_RETURN_IF_ERROR(CheckArguments(image_sha256, header, count));
  const std::string path = PathOf(image_sha256);
  const absl::StatusOr<std::string> file =
      FileSystem::Real().Read(path, BodySize(header.size(), count) + sizeof(uint64_t));
  if (!file.ok() && !absl::IsOutOfRange(file.status())) return file.status();
  std::string_view bytes;
  if (!file.ok() || !Check(*file, header, count, PlaceOf(directory_, image_sha256), bytes)) {
    FileSystem::Real().Remove(path).IgnoreError();
    budget_.Forget(path);
    return absl::DataLossError(
        absl::StrCat("cached features are damaged or of another kind: ", path));
  }
  // The file's time is what a later start knows of this use.
  if (budget_.Use(path)) FileSystem::Real().Touch(path).IgnoreError();
  std::vector<float> values(count);
  if (count > 0) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

void FeatureCache::Remove(const std::string& image_sha256) {
  if (!IsSha256(image_sha256)) return;
  FileSystem::Real().Remove(PathOf(image_sha256)).IgnoreError();
  budget_.Forget(PathOf(image_sha256));
}

}  // namespace hfwa::store
