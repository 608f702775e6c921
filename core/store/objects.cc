#include "core/store/objects.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"

namespace hfwa::store {
namespace {

// Far above any image that is let in; bounds what a damaged folder can make us allocate.
constexpr size_t kMaxObjectBytes = size_t{1} << 30;

bool IsHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// Removes the temporary file unless it got its final name.
class TemporaryFile {
 public:
  TemporaryFile(FileSystem& files, std::string path) : files_(files), path_(std::move(path)) {}
  ~TemporaryFile() {
    if (!path_.empty()) files_.Remove(path_).IgnoreError();  // else Open removes it
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const std::string& path() const { return path_; }
  void Keep() { path_.clear(); }

 private:
  FileSystem& files_;
  std::string path_;
};

}  // namespace

bool IsSha256(std::string_view text) { return text.size() == 64 && IsHex(text); }

absl::Status ObjectLost(const std::string& sha256, std::string_view how) {
  return absl::DataLossError(absl::StrCat("the image of reference r", sha256.substr(0, 32), " is ",
                                          ToAbsl(how),
                                          " on disk: register the same file again, or delete "
                                          "the reference"));
}

ObjectFolder::ObjectFolder(FileSystem& files, std::string folder)
    : files_(files), folder_(std::move(folder)), temporary_(folder_ + "/tmp") {}

std::string ObjectFolder::PathOf(const std::string& sha256) const {
  return absl::StrCat(folder_, "/", sha256.substr(0, 2), "/", sha256.substr(2));
}

absl::Status ObjectFolder::Open() {
  HFWA_RETURN_IF_ERROR(MakeDurableFolder(folder_));
  absl::Status made = files_.MakeDirectory(temporary_);
  if (!made.ok() && !absl::IsAlreadyExists(made)) return made;
  HFWA_ASSIGN_OR_RETURN(const auto names, files_.List(temporary_));
  for (const std::string& name : names)
    HFWA_RETURN_IF_ERROR(files_.Remove(absl::StrCat(temporary_, "/", name)));
  return absl::OkStatus();
}

absl::Status ObjectFolder::SyncNames(const std::string& folder) {
  absl::Status synced = files_.SyncDirectory(folder);
  if (!synced.ok()) sync_failed_ = true;
  return synced;
}

absl::Status ObjectFolder::MakeDurableFolder(const std::string& folder) {
  absl::MutexLock lock(&mu_);
  if (durable_folders_.contains(folder)) return absl::OkStatus();
  absl::Status made = files_.MakeDirectory(folder);
  if (!made.ok() && !absl::IsAlreadyExists(made)) return made;
  HFWA_RETURN_IF_ERROR(SyncNames(ParentDirectory(folder)));
  durable_folders_.insert(folder);
  return absl::OkStatus();
}

absl::Status ObjectFolder::Put(const std::string& sha256, std::string_view bytes) {
  const std::string path = PathOf(sha256);
  const std::string folder = ParentDirectory(path);
  HFWA_RETURN_IF_ERROR(MakeDurableFolder(folder));
  const absl::StatusOr<std::string> stored = files_.Read(path, bytes.size());
  if (stored.ok() && *stored == bytes) {
    // A killed process may have renamed it and not got to syncing the folder.
    const absl::Status synced = files_.SyncFile(path);
    if (!synced.ok()) sync_failed_ = true;
    HFWA_RETURN_IF_ERROR(synced);
  } else {
    HFWA_RETURN_IF_ERROR(Write(path, bytes));
  }
  return SyncNames(folder);
}

absl::Status ObjectFolder::Write(const std::string& path, std::string_view bytes) {
  const std::string temporary = absl::StrCat(temporary_, "/", next_temporary_++);
  HFWA_ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> file, files_.Create(temporary));
  TemporaryFile remover(files_, temporary);
  HFWA_RETURN_IF_ERROR(file->Write(bytes));
  const absl::Status synced = file->Sync();
  // A disk found full only now loses this file alone, which nobody has seen.
  if (!synced.ok() && !absl::IsResourceExhausted(synced)) sync_failed_ = true;
  HFWA_RETURN_IF_ERROR(synced);
  HFWA_RETURN_IF_ERROR(file->Close());
  HFWA_RETURN_IF_ERROR(files_.Rename(temporary, path));
  remover.Keep();
  return absl::OkStatus();
}

absl::StatusOr<std::string> ObjectFolder::Read(const std::string& sha256) {
  absl::StatusOr<std::string> bytes = files_.Read(PathOf(sha256), kMaxObjectBytes);
  if (absl::IsOutOfRange(bytes.status()) || (bytes.ok() && Sha256Hex(*bytes) != sha256)) {
    return ObjectLost(sha256, "damaged");
  }
  return bytes;
}

absl::Status ObjectFolder::Remove(const std::string& sha256) {
  const absl::Status removed = files_.Remove(PathOf(sha256));
  return absl::IsNotFound(removed) ? absl::OkStatus() : removed;
}

template <typename Visit>
absl::Status ObjectFolder::ForEach(const Visit& visit) {
  HFWA_ASSIGN_OR_RETURN(const auto folders, files_.List(folder_));
  for (const std::string& prefix : folders) {
    if (prefix.size() != 2 || !IsHex(prefix)) continue;
    HFWA_ASSIGN_OR_RETURN(const auto names, files_.List(absl::StrCat(folder_, "/", prefix)));
    for (const std::string& name : names) {
      const std::string sha256 = prefix + name;
      if (IsSha256(sha256)) HFWA_RETURN_IF_ERROR(visit(sha256));
    }
  }
  return absl::OkStatus();
}

absl::Status ObjectFolder::Sweep(const absl::flat_hash_set<std::string>& keep) {
  return ForEach([&](const std::string& sha256) {
    return keep.contains(sha256) ? absl::OkStatus() : Remove(sha256);
  });
}

absl::StatusOr<bool> ObjectFolder::HasAny() {
  HFWA_ASSIGN_OR_RETURN(const bool exists, files_.Exists(folder_));
  if (!exists) return false;
  bool any = false;
  HFWA_RETURN_IF_ERROR(ForEach([&](const std::string&) {
    any = true;
    return absl::OkStatus();
  }));
  return any;
}

}  // namespace hfwa::store
