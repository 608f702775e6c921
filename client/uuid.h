#pragma once

#include <string>

namespace hfwa::client {

// A random UUID (version 4, RFC 4122), for request_id.
std::string NewUuid();

}  // namespace hfwa::client
