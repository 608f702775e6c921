#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

#include "absl/status/statusor.h"
#include "hfwa/v1/image.pb.h"

namespace hfwa::client {

// The server's default limit for an encoded image, in bytes.
inline constexpr size_t kMaxImageBytes = size_t{32} << 20;

// A whole JPEG, PNG, BMP, TIFF or WebP file in memory.
v1::Image EncodedImage(std::string bytes);

// Pixels as a camera delivers them. `stride` is bytes from row to row, 0 for rows without gaps.
// INVALID_ARGUMENT if sizes, format and length of `data` don't fit together.
absl::StatusOr<v1::Image> RawPixels(int32_t width, int32_t height, v1::RawImage::PixelFormat format,
                                    std::string data, int64_t stride = 0);

// Reads an image file; its contents are left to the server to judge. NOT_FOUND, PERMISSION_DENIED,
// or INVALID_ARGUMENT if it is no regular file, empty or longer than `max_bytes`.
absl::StatusOr<v1::Image> ImageFromFile(const std::filesystem::path& file,
                                        size_t max_bytes = kMaxImageBytes);

}  // namespace hfwa::client
