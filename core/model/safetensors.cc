#include "core/model/safetensors.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include <ATen/ATen.h>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace hfwa::model {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxHeaderBytes = 100'000'000;
constexpr size_t kMaxDimensions = 8;
constexpr size_t kLengthBytes = 8;

constexpr std::array<std::pair<const char*, at::ScalarType>, 10> kTypes = {{
    {"F32", at::kFloat},
    {"F16", at::kHalf},
    {"BF16", at::kBFloat16},
    {"F64", at::kDouble},
    {"I64", at::kLong},
    {"I32", at::kInt},
    {"I16", at::kShort},
    {"I8", at::kChar},
    {"U8", at::kByte},
    {"BOOL", at::kBool},
}};

std::optional<at::ScalarType> TypeOf(const std::string& name) {
  for (const auto& [known, type] : kTypes) {
    if (name == known) return type;
  }
  return std::nullopt;
}

const char* NameOf(at::ScalarType type) {
  for (const auto& [name, known] : kTypes) {
    if (type == known) return name;
  }
  return nullptr;
}

// Parses without exceptions and refuses a name that occurs twice in one object: JSON libraries
// would silently keep one of the two.
absl::StatusOr<json> ParseUniqueJson(std::string_view text) {
  std::vector<std::set<std::string>> open_objects;
  bool duplicate = false;
  const json::parser_callback_t watch = [&](int, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::object_start) {
      open_objects.emplace_back();
    } else if (event == json::parse_event_t::object_end) {
      open_objects.pop_back();
    } else if (event == json::parse_event_t::key) {
      duplicate |= !open_objects.back().insert(value.get_ref<const std::string&>()).second;
    }
    return true;
  };
  json parsed = json::parse(text, watch, /*allow_exceptions=*/false);
  if (parsed.is_discarded()) return absl::InvalidArgumentError("the header is not JSON");
  if (duplicate) return absl::InvalidArgumentError("the header has a name twice");
  if (!parsed.is_object()) return absl::InvalidArgumentError("the header is not a JSON object");
  return parsed;
}

absl::StatusOr<uint64_t> Unsigned(const json& value) {
  if (!value.is_number_unsigned())
    return absl::InvalidArgumentError("not a whole number of at least 0");
  return value.get<uint64_t>();
}

// One header entry to a view; `data` is what follows the header.
absl::StatusOr<TensorView> ParseEntry(const json& entry, std::string_view data) {
  if (!entry.is_object()) return absl::InvalidArgumentError("its entry is not an object");
  const auto dtype = entry.find("dtype");
  const auto shape = entry.find("shape");
  const auto offsets = entry.find("data_offsets");
  if (dtype == entry.end() || !dtype->is_string() || shape == entry.end() || !shape->is_array() ||
      offsets == entry.end() || !offsets->is_array() || offsets->size() != 2) {
    return absl::InvalidArgumentError(
        "dtype, shape or data_offsets is absent or of the wrong kind");
  }
  TensorView view;
  const auto type = TypeOf(dtype->get_ref<const std::string&>());
  if (!type) {
    return absl::InvalidArgumentError(
        absl::StrCat("type ", dtype->get_ref<const std::string&>(), " is not supported"));
  }
  view.dtype = *type;
  if (shape->size() > kMaxDimensions) return absl::InvalidArgumentError("too many dimensions");
  uint64_t size = c10::elementSize(view.dtype);
  for (const json& side : *shape) {
    HFWA_ASSIGN_OR_RETURN(const uint64_t length, Unsigned(side));
    if (length > INT64_MAX || __builtin_mul_overflow(size, length, &size)) {
      return absl::InvalidArgumentError("its shape overflows");
    }
    view.shape.push_back(static_cast<int64_t>(length));
  }
  HFWA_ASSIGN_OR_RETURN(const uint64_t begin, Unsigned((*offsets)[0]));
  HFWA_ASSIGN_OR_RETURN(const uint64_t end, Unsigned((*offsets)[1]));
  if (begin > end || end > data.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "bytes ", begin, " to ", end, " do not lie in the data of ", data.size(), " bytes"));
  }
  if (end - begin != size) {
    return absl::InvalidArgumentError(
        absl::StrCat("has ", end - begin, " bytes where its shape needs ", size));
  }
  view.bytes = data.substr(begin, size);
  return view;
}

// The tensors follow each other without gap or overlap and fill the data.
absl::Status CheckCoverage(const std::map<std::string, TensorView>& tensors,
                           std::string_view data) {
  std::vector<std::pair<const std::string*, std::string_view>> spans;
  spans.reserve(tensors.size());
  for (const auto& [name, view] : tensors) spans.emplace_back(&name, view.bytes);
  std::sort(spans.begin(), spans.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second.data(), a.second.size()) <
           std::pair(b.second.data(), b.second.size());
  });
  const char* next = data.data();
  for (const auto& [name, bytes] : spans) {
    if (bytes.data() != next) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", *name, " overlaps another or leaves a gap"));
    }
    next += bytes.size();
  }
  if (next != data.data() + data.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(data.data() + data.size() - next, " bytes after the last tensor"));
  }
  return absl::OkStatus();
}

absl::Status InFile(const std::string& path, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

}  // namespace

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  HFWA_ASSIGN_OR_RETURN(auto mapped, MappedFile::Open(path));
  HFWA_ASSIGN_OR_RETURN(SafetensorsFile file, Parse(mapped->bytes(), path));
  file.file_ = std::move(mapped);
  return file;
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Parse(std::string_view bytes,
                                                       const std::string& name) {
  SafetensorsFile file;
  file.path_ = name;
  file.bytes_ = bytes;
  HFWA_RETURN_IF_ERROR(InFile(name, file.ParseHeader()));
  return file;
}

absl::Status SafetensorsFile::ParseHeader() {
  uint64_t length = 0;
  if (bytes_.size() < kLengthBytes) return absl::InvalidArgumentError("too short for a header");
  std::memcpy(&length, bytes_.data(), kLengthBytes);
  if (length > kMaxHeaderBytes || length > bytes_.size() - kLengthBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a header of ", length, " bytes does not fit; is the file whole?"));
  }
  HFWA_ASSIGN_OR_RETURN(const json header, ParseUniqueJson(bytes_.substr(kLengthBytes, length)));
  const std::string_view data = bytes_.substr(kLengthBytes + length);
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    auto view = ParseEntry(entry, data);
    if (!view.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", name, ": ", view.status().message()));
    }
    tensors_.emplace(name, *std::move(view));
  }
  return CheckCoverage(tensors_, data);
}

absl::StatusOr<at::Tensor> SafetensorsFile::Read(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    return absl::NotFoundError(absl::StrCat(path_, ": no tensor ", name));
  }
  const TensorView& view = found->second;
  try {
    // Copied rather than wrapped: the bytes may be of any alignment, and the file may go away.
    at::Tensor tensor = at::empty(view.shape, at::TensorOptions(view.dtype));
    if (view.dtype == at::kBool) {
      // Any byte but 0 and 1 would be undefined behaviour as a bool.
      auto* out = static_cast<unsigned char*>(tensor.data_ptr());
      for (const char byte : view.bytes) *out++ = byte != 0 ? 1 : 0;
    } else if (!view.bytes.empty()) {
      std::memcpy(tensor.data_ptr(), view.bytes.data(), view.bytes.size());
    }
    return tensor;
  } catch (const c10::Error& error) {
    return absl::ResourceExhaustedError(
        absl::StrCat(path_, ": tensor ", name, ": ", error.what_without_backtrace()));
  }
}

absl::StatusOr<at::Tensor> SafetensorsFile::ReadFp32(const std::string& name) const {
  HFWA_ASSIGN_OR_RETURN(at::Tensor tensor, Read(name));
  try {
    return tensor.to(at::kFloat);
  } catch (const c10::Error& error) {
    return absl::ResourceExhaustedError(
        absl::StrCat(path_, ": tensor ", name, ": ", error.what_without_backtrace()));
  }
}

absl::StatusOr<std::map<std::string, at::Tensor>> ReadAllTensors(const std::string& path) {
  HFWA_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(path));
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, view] : file.tensors()) {
    if (at::isFloatingType(view.dtype)) {
      HFWA_ASSIGN_OR_RETURN(tensors[name], file.ReadFp32(name));
    } else {
      HFWA_ASSIGN_OR_RETURN(at::Tensor tensor, file.Read(name));
      tensors[name] = tensor.to(at::kLong);
    }
  }
  return tensors;
}

absl::Status WriteSafetensors(const std::string& path,
                              const std::map<std::string, at::Tensor>& tensors) {
  json header = json::object();
  uint64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    const char* type = NameOf(tensor.scalar_type());
    if (type == nullptr || !tensor.device().is_cpu()) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", name, ": its type or device cannot be written"));
    }
    const uint64_t end = offset + tensor.nbytes();
    header[name] = {
        {"dtype", type}, {"shape", tensor.sizes().vec()}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump(-1, ' ', false, json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');

  const std::string temporary = absl::StrCat(path, ".", getpid(), ".tmp");
  std::ofstream out(temporary, std::ios::binary);
  const uint64_t length = text.size();
  out.write(reinterpret_cast<const char*>(&length), kLengthBytes);
  out << text;
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor rows = tensor.contiguous();
    out.write(static_cast<const char*>(rows.const_data_ptr()),
              static_cast<std::streamsize>(rows.nbytes()));
  }
  out.close();
  std::error_code error;
  if (out) std::filesystem::rename(temporary, path, error);
  if (!out || error) {
    std::filesystem::remove(temporary, error);
    return absl::InvalidArgumentError(absl::StrCat(path, ": cannot be written"));
  }
  return absl::OkStatus();
}

}  // namespace hfwa::model
