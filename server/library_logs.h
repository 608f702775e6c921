#pragma once

namespace hfwa::server {

// What gRPC and protobuf would print to stderr as plain text becomes records of the log, so that
// the log stays lines of JSON. Protobuf's complaints about a message are dropped: the call's own
// record says MALFORMED_MESSAGE. Call it once, before either library is used.
void CaptureLibraryLogs();

}  // namespace hfwa::server
