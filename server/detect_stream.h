#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "server/call.h"

namespace hfwa::server {

// The DetectStream: at most `stream_inflight_max` images between their arrival and their reply on
// the wire; beyond it nothing is read. Never throws.
grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* StartDetectStream(
    const Shared& shared, grpc::CallbackServerContext* context);

}  // namespace hfwa::server
