#include "core/store/directory_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/file_system.h"

namespace hfwa::store {
namespace {

std::string ReadOwner(int fd) {
  char text[32];
  const ssize_t n = ::pread(fd, text, sizeof(text), 0);
  int64_t pid = 0;
  if (n > 0 && absl::SimpleAtoi(absl::string_view(text, static_cast<size_t>(n)), &pid) && pid > 0) {
    return absl::StrCat("process ", pid);
  }
  return "another process";  // which has not yet written its pid
}

}  // namespace

absl::StatusOr<std::unique_ptr<DirectoryLock>> DirectoryLock::Acquire(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return FileError(errno, "open", path);
  std::unique_ptr<DirectoryLock> lock(new DirectoryLock(fd));
  int result;
  do {
    result = ::flock(fd, LOCK_EX | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  if (result != 0 && errno == EWOULDBLOCK) {
    return absl::AlreadyExistsError(
        absl::StrCat("the data directory is in use by ", ReadOwner(fd), " (", path, ")"));
  }
  if (result != 0) return FileError(errno, "flock", path);
  // The pid is for people: on a full disk the lock holds without it.
  const std::string pid = absl::StrCat(::getpid(), "\n");
  if (::ftruncate(fd, 0) == 0 && ::pwrite(fd, pid.data(), pid.size(), 0) < 0) errno = 0;
  return lock;
}

DirectoryLock::~DirectoryLock() { ::close(fd_); }

absl::Status CheckLocalFileSystem(const std::string& directory) {
  struct statfs info;
  if (::statfs(directory.c_str(), &info) != 0) return FileError(errno, "statfs", directory);
  constexpr uint32_t kRefused[] = {0x6969 /* NFS */, 0x517B /* SMB */, 0xFF534D42 /* CIFS */,
                                   0xFE534D42 /* SMB2 */};
  for (const uint32_t type : kRefused) {
    if (static_cast<uint32_t>(info.f_type) == type) {
      return absl::FailedPreconditionError(absl::StrCat(
          directory, " is on a network file system; the data directory must be on a local disk"));
    }
  }
  return absl::OkStatus();
}

}  // namespace hfwa::store
