#pragma once

#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>

#include <string>

namespace hfwa::cli {

// One line of JSON with the contract's field names; unset numbers and texts are given too.
std::string ToJson(const google::protobuf::Message& message);

// "2026-01-31 14:05:09Z", or "-".
std::string ShowTime(const google::protobuf::Timestamp& time);

// Three digits, or "-".
std::string ShowThreshold(bool set, double threshold);

}  // namespace hfwa::cli
