#include "client/image.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"

namespace hfwa::client {
namespace {

constexpr int32_t kMaxSide = 16384;

int BytesPerPixel(v1::RawImage::PixelFormat format) {
  switch (format) {
    case v1::RawImage::GRAY8:
    case v1::RawImage::BAYER_RG8:
    case v1::RawImage::BAYER_BG8:
    case v1::RawImage::BAYER_GR8:
    case v1::RawImage::BAYER_GB8:
      return 1;
    case v1::RawImage::GRAY16:
      return 2;
    case v1::RawImage::RGB8:
    case v1::RawImage::BGR8:
      return 3;
    case v1::RawImage::RGBA8:
    case v1::RawImage::BGRA8:
      return 4;
    default:
      return 0;
  }
}

absl::Status FileError(const std::filesystem::path& file) {
  const int error = errno;
  return absl::ErrnoToStatus(error, absl::StrCat("cannot read ", file.string()));
}

}  // namespace

v1::Image EncodedImage(std::string bytes) {
  v1::Image image;
  *image.mutable_content() = std::move(bytes);
  return image;
}

absl::StatusOr<v1::Image> RawPixels(int32_t width, int32_t height, v1::RawImage::PixelFormat format,
                                    std::string data, int64_t stride) {
  const int bytes_per_pixel = BytesPerPixel(format);
  if (bytes_per_pixel == 0) return absl::InvalidArgumentError("raw image: unknown pixel format");
  if (width < 1 || height < 1 || width > kMaxSide || height > kMaxSide) {
    return absl::InvalidArgumentError(
        absl::StrCat("raw image: ", width, " x ", height, " pixels; a side is 1 to ", kMaxSide));
  }
  const int64_t row = int64_t{width} * bytes_per_pixel;
  const int64_t step = stride == 0 ? row : stride;
  if (step < row) {
    return absl::InvalidArgumentError(
        absl::StrCat("raw image: stride ", stride, " is less than a row of ", row, " bytes"));
  }
  const auto size = static_cast<int64_t>(data.size());
  // Divided, so that a huge stride cannot overflow.
  if (size < row || (height > 1 && (size - row) / (height - 1) < step)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "raw image: ", data.size(), " bytes are too few for ", height, " rows of stride ", step));
  }
  v1::Image image;
  v1::RawImage& raw = *image.mutable_raw();
  raw.set_width(width);
  raw.set_height(height);
  raw.set_stride(stride);
  raw.set_format(format);
  *raw.mutable_data() = std::move(data);
  return image;
}

absl::StatusOr<v1::Image> ImageFromFile(const std::filesystem::path& file, size_t max_bytes) {
  // Non-blocking, so that a named pipe is refused below rather than waited for.
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return FileError(file);
  absl::Cleanup close_file = [fd] { close(fd); };
  struct stat info {};
  if (fstat(fd, &info) != 0) return FileError(file);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(file.string(), " is not a regular file"));
  }
  if (info.st_size == 0)
    return absl::InvalidArgumentError(absl::StrCat(file.string(), " is empty"));
  if (static_cast<uint64_t>(info.st_size) > max_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(file.string(), " has ", info.st_size,
                                                   " bytes; at most ", max_bytes, " are sent"));
  }
  std::string bytes(static_cast<size_t>(info.st_size), '\0');
  size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t n = read(fd, bytes.data() + filled, bytes.size() - filled);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FileError(file);
    if (n == 0) break;
    filled += static_cast<size_t>(n);
  }
  bytes.resize(filled);
  return EncodedImage(std::move(bytes));
}

}  // namespace hfwa::client
