#include "server/library_logs.h"

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "server/log.h"

namespace hfwa::server {
namespace {

// gRPC takes a plain function; the logger behind it limits itself to one record a second.
void LogGrpc(gpr_log_func_args* args) {
  static Logger log(LogLevel::kWarning);
  log.Warning("grpc", {{"text", std::string(args->message)},
                       {"at", absl::StrCat(args->file, ":", args->line)},
                       {"severity", std::string(gpr_log_severity_string(args->severity))}});
}

}  // namespace

void CaptureLibraryLogs() {
  gpr_set_log_function(LogGrpc);
  google::protobuf::SetLogHandler(nullptr);
}

}  // namespace hfwa::server
