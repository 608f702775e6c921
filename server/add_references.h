#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "server/call.h"

namespace hfwa::server {

// Most images of one stream; the reply holds a result for each.
inline constexpr int kStreamImagesMax = 4096;

// The AddReferences stream: one image in memory at a time, each judged on the registration pool
// before the next is read. Never throws.
grpc::ServerReadReactor<grpc::ByteBuffer>* StartAddReferences(const Shared& shared,
                                                              grpc::CallbackServerContext* context,
                                                              grpc::ByteBuffer* response);

}  // namespace hfwa::server
