#include "core/store/file_budget.h"

namespace hfwa::store {

void FileBudget::Erase(const std::string& path) {
  const auto found = files_.find(path);
  if (found == files_.end()) return;
  bytes_ -= found->second.bytes;
  const auto use = found->second.use;
  files_.erase(found);
  uses_.erase(use);  // last: `path` may be the text in it
}

std::vector<std::string> FileBudget::Add(const std::string& path, int64_t bytes) {
  absl::MutexLock lock(&mu_);
  Erase(path);
  files_[path] = {bytes, uses_.insert(uses_.end(), path)};
  bytes_ += bytes;
  std::vector<std::string> gone;
  while (bytes_ > bytes_max_ && files_.size() > 1) {
    gone.push_back(uses_.front());
    Erase(gone.back());
  }
  return gone;
}

bool FileBudget::Use(const std::string& path) {
  absl::MutexLock lock(&mu_);
  const auto found = files_.find(path);
  if (found == files_.end()) return false;
  uses_.splice(uses_.end(), uses_, found->second.use);
  return true;
}

void FileBudget::Forget(const std::string& path) {
  absl::MutexLock lock(&mu_);
  Erase(path);
}

int64_t FileBudget::bytes() const {
  absl::MutexLock lock(&mu_);
  return bytes_;
}

size_t FileBudget::files() const {
  absl::MutexLock lock(&mu_);
  return files_.size();
}

}  // namespace hfwa::store
