#include "core/base/file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <limits>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"

namespace hfwa {
namespace {

// Closes on destruction; errors of that close are of no interest to readers.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

int OpenRetrying(const std::string& path, int flags, mode_t mode = 0) {
  int fd;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

class RealWritableFile final : public WritableFile {
 public:
  RealWritableFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  absl::Status Write(std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd_.get(), bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return FileError(errno, "write", path_);
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return absl::OkStatus();
  }
  absl::Status Sync() override {
    // Not retried, not even on EINTR: a second fsync may report success for pages the first one
    // lost.
    if (::fsync(fd_.get()) != 0) return FileError(errno, "fsync", path_);
    return absl::OkStatus();
  }
  absl::Status Close() override {
    const int fd = fd_.Release();
    if (fd >= 0 && ::close(fd) != 0) return FileError(errno, "close", path_);
    return absl::OkStatus();
  }

 private:
  const std::string path_;
  FileDescriptor fd_;
};

class RealFileSystem final : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<WritableFile>> Create(const std::string& path) override {
    const int fd = OpenRetrying(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0) return FileError(errno, "create", path);
    return std::make_unique<RealWritableFile>(path, fd);
  }

  absl::StatusOr<std::string> Read(const std::string& path, size_t max_bytes) override {
    const FileDescriptor fd(OpenRetrying(path, O_RDONLY));
    if (fd.get() < 0) return FileError(errno, "open", path);
    struct stat info;
    if (::fstat(fd.get(), &info) != 0) return FileError(errno, "stat", path);
    if (!S_ISREG(info.st_mode)) return absl::UnavailableError(absl::StrCat("not a file: ", path));
    if (static_cast<uint64_t>(info.st_size) > max_bytes) {
      return absl::OutOfRangeError(
          absl::StrCat(path, " has ", info.st_size, " bytes, more than ", max_bytes));
    }
    std::string bytes(static_cast<size_t>(info.st_size), '\0');
    size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t n = ::read(fd.get(), bytes.data() + done, bytes.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return FileError(errno, "read", path);
      if (n == 0) break;  // shortened since fstat
      done += static_cast<size_t>(n);
    }
    bytes.resize(done);
    return bytes;
  }

  absl::Status SyncFile(const std::string& path) override { return SyncPath(path, O_RDONLY); }

  absl::Status Rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return FileError(errno, "rename", from);
    return absl::OkStatus();
  }

  absl::Status Remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return FileError(errno, "unlink", path);
    return absl::OkStatus();
  }

  absl::Status MakeDirectory(const std::string& path) override {
    if (::mkdir(path.c_str(), 0700) != 0) return FileError(errno, "mkdir", path);
    return absl::OkStatus();
  }

  absl::Status SyncDirectory(const std::string& path) override {
    return SyncPath(path, O_RDONLY | O_DIRECTORY);
  }

  absl::StatusOr<std::vector<std::string>> List(const std::string& path) override {
    DIR* const dir = ::opendir(path.c_str());
    if (dir == nullptr) return FileError(errno, "open folder", path);
    std::vector<std::string> names;
    errno = 0;
    for (const dirent* entry; (entry = ::readdir(dir)) != nullptr; errno = 0) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    const int error = errno;
    ::closedir(dir);
    if (error != 0) return FileError(error, "list", path);
    std::sort(names.begin(), names.end());
    return names;
  }

  absl::StatusOr<bool> Exists(const std::string& path) override {
    struct stat info;
    if (::lstat(path.c_str(), &info) == 0) return true;
    if (errno == ENOENT) return false;
    return FileError(errno, "stat", path);
  }

  absl::StatusOr<Info> Stat(const std::string& path) override {
    struct stat info;
    if (::lstat(path.c_str(), &info) != 0) return FileError(errno, "stat", path);
    return Info{.bytes = int64_t{info.st_size}, .modified = absl::TimeFromTimespec(info.st_mtim)};
  }

  absl::Status Touch(const std::string& path) override {
    if (::utimensat(AT_FDCWD, path.c_str(), nullptr, AT_SYMLINK_NOFOLLOW) != 0)
      return FileError(errno, "utimensat", path);
    return absl::OkStatus();
  }

  absl::StatusOr<int64_t> FreeBytes(const std::string& path) override {
    struct statvfs info;
    if (::statvfs(path.c_str(), &info) != 0) return FileError(errno, "statvfs", path);
    const auto blocks = static_cast<uint64_t>(info.f_bavail);
    const auto size = static_cast<uint64_t>(info.f_frsize);
    constexpr auto kMax = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
    if (size != 0 && blocks > kMax / size) return static_cast<int64_t>(kMax);
    return static_cast<int64_t>(blocks * size);
  }

 private:
  static absl::Status SyncPath(const std::string& path, int flags) {
    const FileDescriptor fd(OpenRetrying(path, flags));
    if (fd.get() < 0) return FileError(errno, "open", path);
    if (::fsync(fd.get()) != 0) return FileError(errno, "fsync", path);
    return absl::OkStatus();
  }
};

}  // namespace

FileSystem& FileSystem::Real() {
  static RealFileSystem files;
  return files;
}

std::string ParentDirectory(const std::string& path) {
  const size_t end = path.find_last_not_of('/');
  if (end == std::string::npos) return path.empty() ? "." : "/";
  const size_t slash = path.rfind('/', end);
  if (slash == std::string::npos) return ".";
  const size_t last = path.find_last_not_of('/', slash);
  return last == std::string::npos ? "/" : path.substr(0, last + 1);
}

absl::Status MakeDirectories(FileSystem& files, const std::string& path) {
  HFWA_ASSIGN_OR_RETURN(const bool exists, files.Exists(path));
  if (exists) return absl::OkStatus();
  const std::string parent = ParentDirectory(path);
  if (parent != path) HFWA_RETURN_IF_ERROR(MakeDirectories(files, parent));
  absl::Status made = files.MakeDirectory(path);
  if (!made.ok() && !absl::IsAlreadyExists(made)) return made;
  return files.SyncDirectory(parent);
}

absl::Status FileError(int error_number, std::string_view what, const std::string& path) {
  const std::string text =
      absl::StrCat(ToAbsl(what), " ", path, ": ", std::generic_category().message(error_number));
  switch (error_number) {
    case ENOENT:
      return absl::NotFoundError(text);
    case EEXIST:
      return absl::AlreadyExistsError(text);
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError(text);
    default:
      return absl::UnavailableError(text);
  }
}

}  // namespace hfwa
