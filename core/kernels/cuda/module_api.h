#pragma once

// What the CUDA module offers: plain pointers and numbers, so that it needs no LibTorch. The
// program loads the module at run time (module_loader.h); the twin (twin.h) offers the same on the
// CPU, block by block, by the same code.
//
// Pointers are to the device's memory (the twin's: the host's). Work is queued on `stream`, a
// cudaStream_t of the current device. Functions return 0, or the cudaError_t that the launch met.

#include <cstdint>

namespace hfwa::kernels::cuda {

// Raised with every change of what follows; a module of another version is not used.
inline constexpr uint32_t kApiVersion = 2;
inline constexpr char kApiSymbol[] = "HfwaCudaApi";

// Types that the towers compute in.
enum class Type : int32_t { kBf16 = 0, kFp16 = 1 };

enum class Function : int32_t { kNone = 0, kQuickGelu = 1, kGelu = 2 /* exact, erf */, kRelu = 3 };

// Tokens against rows.
struct MatchTask {
  const uint16_t* tokens;  // [token_count, width] fp16, on 16 bytes
  const uint16_t* rows;    // [row_count, width] fp16, on 16 bytes
  float* maximum;          // [token_count]: largest dot product with any row; NaN if one is
  int32_t token_count;
  int32_t row_count;  // >= 1
};

// Level maps summed, filtered, with the visual part on top (HFWA spec 6.5 and 7), B images.
struct MapTask {
  static constexpr int kRadiusMax = 128;

  const float* language_diff;  // [B, levels, grid, grid], or null
  const float* few;            // [B, levels, grid, grid], or null
  float* between;              // [B, size, size]: memory for the vertical pass
  float* map;                  // [B, size, size]
  uint32_t* maximum;           // [B]: key (numbers.h) of the largest value; NaN if one is
  int32_t batch;
  int32_t levels;
  int32_t grid;
  int32_t size;
  int32_t radius;                  // of the Gaussian, 0 to kRadiusMax
  double weights[kRadiusMax + 1];  // of offsets 0 to radius
};

// False colours of maps.
struct ColourTask {
  const float* map;        // [B, pixels]
  const float* low;        // [B]: value of colour 0
  const float* scale;      // [B]: colours per unit, 0 for an empty range
  const uint8_t* colours;  // [256, 3] RGB
  uint8_t* rgb;            // [B, pixels, 3], on 4 bytes
  int32_t batch;
  int32_t pixels;
};

// In what follows, rows have `width` values, a multiple of 4, on 16 bytes (8 for 16-bit types).

// Rows in groups, such as images of which one token is left out: row r stands at
// first + r / group * group_stride + r % group * pitch.
template <typename T>
struct Lines {
  T* first;
  int64_t group;
  int64_t group_stride;
  int32_t pitch;
};

inline constexpr int kNormWidthMax = 2048;
inline constexpr float kCosineEpsilon = 1e-12F;  // the least length that is divided by

struct NormWeights {
  const float* weight;  // [width]
  const float* bias;    // [width]
  float eps;
};

// x += branch + branch_bias if there is a branch; y = norm(x). width <= kNormWidthMax.
struct NormTask {
  float* x;                  // [rows, width]; unchanged without a branch
  const uint16_t* branch;    // [rows, width], or null
  const float* branch_bias;  // [width], or null
  NormWeights norm;
  uint16_t* y;  // [rows, width]
  int64_t rows;
  int32_t width;
};

// sum = x + norm(branch). width <= kNormWidthMax.
struct BranchTask {
  Lines<const float> x;
  const uint16_t* branch;  // [rows, width]
  NormWeights norm;
  float* sum;         // [rows, width]
  uint16_t* rounded;  // [rows, width]: the same
  int64_t rows;
  int32_t width;
};

// unit = x / |x|. width <= kNormWidthMax.
struct UnitTask {
  const uint16_t* x;  // [rows, width]
  Lines<float> unit;
  int64_t rows;
  int32_t width;
};

// Cosines with two vectors of length one, each image's own. width <= kNormWidthMax.
struct CosineTask {
  const uint16_t* x;   // [images, tokens, width]
  const float* pairs;  // [images, 2, width]
  float* cosines;      // [images, 2, tokens]
  int64_t rows;        // images * tokens
  int32_t tokens;
  int32_t width;
};

struct RoundTask {
  Lines<const float> x;
  uint16_t* rounded;  // [rows, width]
  int64_t rows;
  int32_t width;
};

// Cosine attention inside windows (kernels.h, WindowAttention), tokens read and written at their
// own places.
struct WindowTask {
  static constexpr int kInsideMax = 144;     // tokens of a window
  static constexpr int kHeadWidthMax = 128;  // a multiple of 16

  const uint16_t* in;    // [images, tokens, parts * width] on 16 bytes: v, or q, k and v
  const int64_t* order;  // [tokens]: the token at each place, windows one after the other
  const float* scale;    // [heads]
  const float* bias;     // [bias_windows, heads, inside, inside]
  uint16_t* out;         // [images, tokens, width]
  int32_t images;
  int32_t tokens;
  int32_t inside;
  int32_t heads;
  int32_t head_width;
  int32_t parts;         // 1 or 3
  int32_t bias_windows;  // 1, or the windows of an image
};

struct BiasTask {
  uint16_t* y;        // [rows, width]
  const float* bias;  // [width], or null
  float* sum;         // [rows, width]; unused by activate
  int64_t rows;
  int32_t width;
};

struct Api {
  uint32_t version;
  const char* (*error_name)(int error);
  // All tasks have one width, a multiple of 8. Launches in groups, so any count will do.
  int (*match)(const MatchTask* tasks, int count, int width, void* stream);
  int (*combine_maps)(const MapTask* task, void* stream);
  int (*colour)(const ColourTask* task, void* stream);
  int (*layer_norm)(const NormTask* task, Type type, void* stream);
  int (*add_normed)(const BranchTask* task, Type type, void* stream);
  int (*unit)(const UnitTask* task, Type type, void* stream);
  int (*cosines)(const CosineTask* task, Type type, void* stream);
  int (*round)(const RoundTask* task, Type type, void* stream);
  int (*attend_windows)(const WindowTask* task, Type type, void* stream);
  // y = function(y + bias), in place.
  int (*activate)(const BiasTask* task, Type type, Function function, void* stream);
  // sum += y + bias.
  int (*add_residual)(const BiasTask* task, Type type, void* stream);
};

using GetApi = const Api* (*)();

}  // namespace hfwa::kernels::cuda
