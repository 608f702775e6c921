#include "client/cli/context.h"

#include <grpcpp/security/credentials.h>

#include <fstream>
#include <iterator>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "client/cli/text.h"
#include "core/base/status_macros.h"

namespace hfwa::cli {

absl::StatusOr<std::optional<absl::Duration>> Context::Deadline() const {
  if (deadline.empty()) return std::nullopt;
  return ParseTime("--deadline", deadline);
}

client::CallOptions Context::Call() const {
  return {.deadline = Deadline().value_or(std::nullopt), .cancel = interrupt};
}

absl::StatusOr<client::ClientOptions> Context::ConnectOptions() const {
  client::ClientOptions options;
  options.target = server;
  HFWA_ASSIGN_OR_RETURN(const auto given, Deadline());
  if (given.has_value()) options.default_deadline = *given;
  if (tls || !ca_file.empty()) {
    grpc::SslCredentialsOptions ssl;
    if (!ca_file.empty()) {
      std::ifstream file(ca_file, std::ios::binary);
      ssl.pem_root_certs.assign(std::istreambuf_iterator<char>(file), {});
      if (!file || ssl.pem_root_certs.empty()) {
        return absl::InvalidArgumentError(absl::StrCat("cannot read certificates from ", ca_file));
      }
    }
    options.credentials = grpc::SslCredentials(ssl);
  }
  return options;
}

absl::StatusOr<client::Client> Context::Connect() const {
  HFWA_ASSIGN_OR_RETURN(client::ClientOptions options, ConnectOptions());
  return client::Client::Connect(std::move(options));
}

int Context::ExitCodeOf(const absl::Status& status) const {
  if (status.ok()) return kOk;
  if (interrupt.stop_requested()) return kInterrupted;
  return absl::IsUnavailable(status) ? kUnavailable : kFailed;
}

int Context::Fail(const std::string& what, const absl::Status& status) const {
  if (interrupt.stop_requested()) {
    terminal.err << "hfwa: interrupted\n";
    return kInterrupted;
  }
  terminal.err << "hfwa: " << Printable(what) << ": " << Explain(status) << "\n";
  if (absl::IsUnavailable(status)) {
    terminal.err << "hfwa: is a server running at " << Printable(server)
                 << "? Name another with --server or HFWA_SERVER.\n";
  }
  return ExitCodeOf(status);
}

}  // namespace hfwa::cli
