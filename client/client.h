#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/detect_stream.h"
#include "client/image.h"
#include "client/retry.h"
#include "hfwa/v1/detection_service.pb.h"
#include "hfwa/v1/model_service.pb.h"
#include "hfwa/v1/product_service.pb.h"

namespace grpc {
class Channel;
class ChannelCredentials;
}  // namespace grpc

namespace hfwa::client {

struct ClientOptions {
  // "host:port", or any name that gRPC resolves, such as "dns:///hfwa.plant:50051" or
  // "unix:/run/hfwa".
  std::string target = "localhost:50051";
  // Unset: no encryption and no authentication.
  std::shared_ptr<grpc::ChannelCredentials> credentials{};
  // For a call with all its retries, where CallOptions gives none.
  absl::Duration default_deadline = absl::Seconds(30);
  RetryPolicy retry{};

  // For tests: waits `duration` or until a stop is requested. Unset: really waits.
  std::function<void(absl::Duration duration, const std::stop_token& cancel)> sleep{};
};

// Of one call.
struct CallOptions {
  // From the call to its answer, retries included; unset: the client's default.
  std::optional<absl::Duration> deadline{};
  // A requested stop ends the call with CANCELLED.
  std::stop_token cancel{};
};

// One image to register: a file, read when its turn comes, or an image in memory.
struct ReferenceSource {
  std::filesystem::path file{};
  v1::Image image{};          // Used where `file` is empty.
  std::string source_name{};  // Empty: the file's name without folders.
};

// "bolt" or "products/bolt" to "products/bolt".
std::string ProductName(std::string_view id_or_name);

// A connection to an hfwa server.
//
// Every call has a deadline, and is tried again only where RetryPolicy says so; calls that change
// something carry a request_id, so that a repeated one changes nothing twice. Errors have the
// server's code and a message for people; DetailsOf() in client/error.h gives what programs decide
// on. `product` arguments are ids ("bolt") or resource names ("products/bolt"). Thread-safe; one
// client serves a whole program.
class Client {
 public:
  // Told how many images were sent, of how many; from the calling thread. A retry starts again at
  // 0.
  using Progress = std::function<void(size_t sent, size_t total)>;

  // Makes a client; the connection is built by the first call. INVALID_ARGUMENT on nonsense in
  // `options`.
  static absl::StatusOr<Client> Connect(ClientOptions options = {});
  // Over a channel that exists, such as a server's in-process one.
  Client(std::shared_ptr<grpc::Channel> channel, ClientOptions options);
  ~Client();
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;

  // Products. -------------------------------------------------------------------------------------

  // `product.name` is not looked at. An empty id lets the server choose one.
  absl::StatusOr<v1::Product> CreateProduct(const std::string& product_id,
                                            const v1::Product& product = {},
                                            const CallOptions& options = {});
  absl::StatusOr<v1::Product> GetProduct(const std::string& product,
                                         const CallOptions& options = {});
  // All products, page by page, until `visit` returns false. The deadline is for each page.
  absl::Status ListProducts(const std::function<bool(const v1::Product&)>& visit,
                            const CallOptions& options = {});
  absl::StatusOr<std::vector<v1::Product>> ListProducts(const CallOptions& options = {});
  // `fields`: any of display_name, class_name, labels, threshold, coreset_ratio, method; a named
  // one that is unset in `product` is cleared. With an etag in `product`: ABORTED if it is not the
  // current one.
  absl::StatusOr<v1::Product> UpdateProduct(const v1::Product& product,
                                            const std::vector<std::string>& fields,
                                            const CallOptions& options = {});
  absl::Status DeleteProduct(const std::string& product, const std::string& etag = "",
                             const CallOptions& options = {});

  // References. -----------------------------------------------------------------------------------

  // Registers images. The response has one result for each source, in order; a file that cannot be
  // read is REFUSED like an image that the server refuses, and does not stop the others. Without a
  // deadline in `options` ten seconds an image are added to the default.
  absl::StatusOr<v1::AddReferencesResponse> AddReferences(
      const std::string& product, const std::vector<ReferenceSource>& sources,
      const Progress& progress = nullptr, const CallOptions& options = {});
  absl::StatusOr<std::vector<v1::Reference>> ListReferences(const std::string& product,
                                                            const CallOptions& options = {});
  // `name`: "products/{product}/references/{reference}".
  absl::StatusOr<v1::Reference> GetReference(
      const std::string& name, v1::GetReferenceRequest::View view = v1::GetReferenceRequest::BASIC,
      const CallOptions& options = {});
  absl::Status DeleteReference(const std::string& name, const CallOptions& options = {});

  // Detection. ------------------------------------------------------------------------------------

  absl::StatusOr<v1::DetectResponse> Detect(const std::string& product, v1::Image image,
                                            const CallOptions& options = {});
  absl::StatusOr<v1::DetectResponse> Detect(const v1::DetectRequest& request,
                                            const CallOptions& options = {});
  // Many images at once over one stream; see client/detect_stream.h. Shares this client's retry
  // budget; may outlive the client.
  std::unique_ptr<DetectStream> OpenDetectStream(DetectStreamOptions options = {});

  // The server. -----------------------------------------------------------------------------------

  absl::StatusOr<v1::Model> GetModel(const CallOptions& options = {});
  // True if the server (or one of its services, by full name) says SERVING.
  absl::StatusOr<bool> IsServing(const std::string& service = "", const CallOptions& options = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hfwa::client
