#pragma once

// Registers references and judges images, with no RPC in sight. The server checks, translates and
// calls this; the interface is abstract so that the server can be tested without a model.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/engine/observer.h"
#include "core/image/decode.h"
#include "core/image/render.h"
#include "core/store/store.h"

namespace hfwa::engine {

// Reasons of refusals that a caller may act on travel in the status' payload under this type URL;
// the text is an ErrorInfo reason (UPPER_SNAKE). RetryAfter() reads the other one.
inline constexpr char kReasonPayload[] = "hfwa.dev/reason";
inline constexpr char kRetryPayload[] = "hfwa.dev/retry-after-ms";
inline constexpr char kFieldPayload[] =
    "hfwa.dev/field";  // of an INVALID_ARGUMENT: "image.content", ...

// `status` with the payloads set; empty `field` or zero `retry_after` are left out.
absl::Status Annotate(absl::Status status, std::string_view reason, std::string_view field = {},
                      absl::Duration retry_after = absl::ZeroDuration());

// A picture as the caller sent it; the views stay valid until the call's callback has run.
struct ImageInput {
  std::string_view encoded;             // a file, or
  std::optional<image::RawPixels> raw;  // pixels
};

// Bytes of it, as sent.
inline int64_t BytesOf(const ImageInput& image) {
  return static_cast<int64_t>(image.raw.has_value() ? image.raw->data.size()
                                                    : image.encoded.size());
}

enum class CalibrationState { kUncalibrated, kProvisional, kCalibrated, kManual };
// How an image was judged.
enum class Method { kZeroShot, kFewShot, kFewShotVisualOnly, kAnomalyDino };
enum class Verdict { kUnspecified, kGood, kAnomalous };
enum class MapFormat { kPngColor, kPngGray16, kFloat32 };
enum class MapSize { kGrid, kModel, kImage };

struct DetectOutputs {
  bool map = false;
  bool level_maps = false;
  bool regions = false;
  MapFormat format = MapFormat::kPngColor;
  MapSize size = MapSize::kModel;
};

struct RenderedMap {
  int width = 0;
  int height = 0;
  MapFormat format = MapFormat::kPngColor;
  std::string data;
  double display_low = 0;
  double display_high = 1;
};

struct StageTimes {
  absl::Duration stage[7];  // by Stage
  absl::Duration total;
};

struct DetectResult {
  double score = 0;
  Verdict verdict = Verdict::kUnspecified;
  std::optional<double> threshold;
  CalibrationState calibration = CalibrationState::kUncalibrated;
  Method method = Method::kZeroShot;
  std::optional<double> text_probability;
  double map_max = 0;
  // Mean of the patches that stand out most (maps.h), where the method scores by them.
  std::optional<double> top_patches;
  std::optional<RenderedMap> map;
  std::vector<RenderedMap> level_maps;
  std::vector<image::Region> regions;
  int64_t revision = 0;
  StageTimes times;
  int batch_size = 0;
  int grid_size = 0;  // side of the patch grid
  int image_width = 0;
  int image_height = 0;
};

// kLive: somebody waits for this answer. kBulk: one of many, behind what is live.
enum class Priority { kLive, kBulk };

struct DetectCall {
  std::string product_id;
  Priority priority = Priority::kLive;
  ImageInput image;
  DetectOutputs outputs;
  absl::Duration deadline = absl::InfiniteDuration();  // on the engine's steady clock
  // Asked before work is done for the call; true once the caller has gone.
  std::function<bool()> cancelled = [] { return false; };
  // Called exactly once, from one of the engine's threads or from Detect itself.
  std::function<void(absl::StatusOr<DetectResult>)> done;
};

// A registration in progress. One thread at a time. Destroyed without Finish, nothing is
// registered.
class Registration {
 public:
  virtual ~Registration() = default;
  // Takes one image: decodes it, puts it on disk, has it encoded. The status says whether it was
  // accepted; FAILED_PRECONDITION or INVALID_ARGUMENT refuse this image alone, other codes end the
  // registration.
  virtual absl::Status Add(const ImageInput& image, const std::string& source_name) = 0;

  struct Item {
    absl::Status status;         // why it was refused
    store::Reference reference;  // when it was not
    bool duplicate = false;
  };
  struct Outcome {
    store::Product product;
    std::vector<Item> items;  // in the order of Add
  };
  // Commits; returns when the outcome is durable and Detect uses the new revision. `make_reply`
  // serialises what a repetition of the request answers.
  virtual absl::StatusOr<Outcome> Finish(
      const store::Retry& retry, const std::function<std::string(const Outcome&)>& make_reply) = 0;
};

// What a product's references say about scores; see docs/scoring.md.
struct Calibration {
  CalibrationState state = CalibrationState::kUncalibrated;
  std::optional<double> threshold;
};

struct ModelInfo {
  std::string name;
  std::string digest;
  std::string config_json;
  std::string device;
  std::string kernels;  // what computes, and why not something faster
  std::string precision;
  bool has_language = false;
  int image_size = 0;
  int grid_size = 0;
  std::vector<std::string> class_names;
};

// Thread-safe.
class Engine {
 public:
  virtual ~Engine() = default;

  // Never blocks on the device; `call.done` gets the outcome. Codes: NOT_FOUND (product),
  // INVALID_ARGUMENT (image, with kFieldPayload), FAILED_PRECONDITION (NO_REFERENCES: few-shot-only
  // model or method, empty product), RESOURCE_EXHAUSTED (QUEUE_FULL, with kRetryPayload),
  // DEADLINE_EXCEEDED, CANCELLED, UNAVAILABLE (DRAINING, DEVICE_FAILED).
  virtual void Detect(DetectCall call) = 0;

  virtual absl::StatusOr<std::unique_ptr<Registration>> Register(const std::string& product_id) = 0;
  // As the store does, and FAILED_PRECONDITION where a change of method would make a bank of more
  // pictures than a product may have.
  virtual absl::StatusOr<store::Product> UpdateProduct(const std::string& product_id,
                                                       store::ProductPatch patch,
                                                       const std::string& etag,
                                                       const store::Retry& retry) = 0;
  // The answer to an earlier registration of this id, if there was one.
  virtual absl::StatusOr<std::optional<std::string>> FindReply(const store::Retry& retry) = 0;
  virtual absl::StatusOr<store::Product> DeleteReference(const std::string& product_id,
                                                         const std::string& reference_id,
                                                         const store::Retry& retry) = 0;
  virtual absl::Status DeleteProduct(const std::string& product_id, const std::string& etag,
                                     const store::Retry& retry) = 0;
  // By the product's bank and threshold. May build the bank, so it can take as long as that.
  virtual absl::StatusOr<Calibration> GetCalibration(const store::Product& product) = 0;
  // A JPEG of at most 256 pixels a side.
  virtual absl::StatusOr<std::string> ReferenceThumbnail(const store::Reference& reference) = 0;

  // Everything that needs no model goes straight to the store.
  virtual store::Store& store() = 0;
  virtual const ModelInfo& model() const = 0;

  // OK while the engine can answer: model warm, device healthy, store writable, not draining.
  virtual absl::Status healthy() const = 0;
  // Refuse new work from now on; what was admitted is finished. Returns when nothing is left or at
  // the deadline.
  virtual void Drain(absl::Duration timeout) = 0;
};

}  // namespace hfwa::engine
