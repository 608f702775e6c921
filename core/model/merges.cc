#include "core/model/merges.h"

#include <zlib.h>

#include <algorithm>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/model/mapped_file.h"

namespace hfwa::model {
namespace {

constexpr size_t kMaxBytes = 64 << 20;
constexpr size_t kChunkBytes = 1 << 20;
constexpr int kGzipWindow = 15 + 16;  // zlib: the largest window, gzip's header

class Inflater {
 public:
  explicit Inflater(std::string_view packed) {
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
    stream_.avail_in = static_cast<uInt>(packed.size());
    ready_ = inflateInit2(&stream_, kGzipWindow) == Z_OK;
  }
  ~Inflater() {
    if (ready_) inflateEnd(&stream_);
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  absl::StatusOr<std::string> Run() {
    std::string text;
    int result = ready_ ? Z_OK : Z_MEM_ERROR;
    while (result == Z_OK) {
      const size_t filled = text.size();
      if (filled >= kMaxBytes) {
        return absl::InvalidArgumentError(
            absl::StrCat("unpacks to more than ", kMaxBytes, " bytes"));
      }
      text.resize(filled + kChunkBytes);
      stream_.next_out = reinterpret_cast<Bytef*>(text.data() + filled);
      stream_.avail_out = kChunkBytes;
      result = inflate(&stream_, Z_NO_FLUSH);
      text.resize(text.size() - stream_.avail_out);
    }
    if (result != Z_STREAM_END || stream_.avail_in != 0) {
      return absl::InvalidArgumentError("is not one whole gzip stream");
    }
    return text;
  }

 private:
  z_stream stream_ = {};
  bool ready_ = false;
};

}  // namespace

absl::StatusOr<std::string> ReadMerges(const std::string& path) {
  HFWA_ASSIGN_OR_RETURN(const auto file, MappedFile::Open(path));
  const std::string_view bytes = file->bytes();
  if (bytes.size() > kMaxBytes) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": has more than ", kMaxBytes, " bytes"));
  }
  if (bytes.substr(0, 2) != "\x1f\x8b") return std::string(bytes);
  auto text = Inflater(bytes).Run();
  if (!text.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", text.status().message()));
  }
  return text;
}

}  // namespace hfwa::model
