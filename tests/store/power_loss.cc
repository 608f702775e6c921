#include "tests/store/power_loss.h"

#include <filesystem>
#include <fstream>
#include <utility>

#include "core/base/status_macros.h"

namespace hfwa::store {

class PowerLossFile final : public WritableFile {
 public:
  PowerLossFile(PowerLossFileSystem& files, std::string path,
                std::shared_ptr<PowerLossFileSystem::Node> node, std::unique_ptr<WritableFile> file)
      : files_(files), path_(std::move(path)), node_(std::move(node)), file_(std::move(file)) {}
  absl::Status Write(std::string_view bytes) override {
    return files_.Write(*node_, *file_, bytes);
  }
  absl::Status Sync() override { return files_.Sync(*node_, path_); }
  absl::Status Close() override { return file_->Close(); }

 private:
  PowerLossFileSystem& files_;
  const std::string path_;
  const std::shared_ptr<PowerLossFileSystem::Node> node_;
  const std::unique_ptr<WritableFile> file_;
};

PowerLossFileSystem::PowerLossFileSystem(std::string root, int calls,
                                         std::function<bool(const std::string& path)> lies)
    : root_(std::move(root)), lies_(std::move(lies)), calls_left_(calls) {}

bool PowerLossFileSystem::power_gone() const {
  absl::MutexLock lock(&mu_);
  return calls_left_ <= 0;
}

absl::Status PowerLossFileSystem::Spend() {
  absl::MutexLock lock(&mu_);
  return --calls_left_ < 0 ? absl::UnavailableError("the power is gone") : absl::OkStatus();
}

absl::Status PowerLossFileSystem::Write(Node& node, WritableFile& file, std::string_view bytes) {
  HFWA_RETURN_IF_ERROR(Spend());
  absl::MutexLock lock(&mu_);
  node.written.append(bytes);
  node.synced = false;
  return file.Write(bytes);
}

absl::Status PowerLossFileSystem::Sync(Node& node, const std::string& path) {
  HFWA_RETURN_IF_ERROR(Spend());
  absl::MutexLock lock(&mu_);
  if (!lies_(path)) node.synced = true;
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<WritableFile>> PowerLossFileSystem::Create(const std::string& path) {
  HFWA_RETURN_IF_ERROR(Spend());
  HFWA_ASSIGN_OR_RETURN(auto file, Real().Create(path));
  auto node = std::make_shared<Node>();
  absl::MutexLock lock(&mu_);
  now_[path] = node;
  return std::make_unique<PowerLossFile>(*this, path, std::move(node), std::move(file));
}

absl::StatusOr<std::string> PowerLossFileSystem::Read(const std::string& path, size_t max_bytes) {
  return Real().Read(path, max_bytes);
}

absl::Status PowerLossFileSystem::SyncFile(const std::string& path) {
  std::shared_ptr<Node> node;
  {
    absl::MutexLock lock(&mu_);
    node = now_.at(path);
  }
  return Sync(*node, path);
}

absl::Status PowerLossFileSystem::Rename(const std::string& from, const std::string& to) {
  HFWA_RETURN_IF_ERROR(Spend());
  HFWA_RETURN_IF_ERROR(Real().Rename(from, to));
  absl::MutexLock lock(&mu_);
  now_[to] = now_.at(from);
  now_.erase(from);
  return absl::OkStatus();
}

absl::Status PowerLossFileSystem::Remove(const std::string& path) {
  HFWA_RETURN_IF_ERROR(Spend());
  HFWA_RETURN_IF_ERROR(Real().Remove(path));
  absl::MutexLock lock(&mu_);
  now_.erase(path);
  return absl::OkStatus();
}

absl::Status PowerLossFileSystem::MakeDirectory(const std::string& path) {
  HFWA_RETURN_IF_ERROR(Spend());
  HFWA_RETURN_IF_ERROR(Real().MakeDirectory(path));
  absl::MutexLock lock(&mu_);
  now_[path] = std::make_shared<Node>(Node{.directory = true, .written = "", .synced = true});
  return absl::OkStatus();
}

absl::Status PowerLossFileSystem::SyncDirectory(const std::string& path) {
  HFWA_RETURN_IF_ERROR(Spend());
  absl::MutexLock lock(&mu_);
  if (lies_(path)) return absl::OkStatus();
  const auto inside = [&](const auto& entry) { return ParentDirectory(entry.first) == path; };
  std::erase_if(durable_, inside);
  for (const auto& entry : now_) {
    if (inside(entry)) durable_.insert(entry);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> PowerLossFileSystem::List(const std::string& path) {
  return Real().List(path);
}
absl::StatusOr<bool> PowerLossFileSystem::Exists(const std::string& path) {
  return Real().Exists(path);
}
absl::StatusOr<int64_t> PowerLossFileSystem::FreeBytes(const std::string& path) {
  return Real().FreeBytes(path);
}

void PowerLossFileSystem::Crash(Torn torn) {
  absl::MutexLock lock(&mu_);
  // Whatever is not durable goes, with all below it.
  for (const auto& [path, node] : now_) {
    if (!durable_.contains(path)) std::filesystem::remove_all(path);
  }
  // Whatever is durable comes back: parents sort before their children, and only those still there
  // have any.
  for (const auto& [path, node] : durable_) {
    if (!std::filesystem::exists(ParentDirectory(path))) continue;
    if (node->directory) {
      std::filesystem::create_directory(path);
      continue;
    }
    std::string bytes = node->written;
    if (!node->synced && torn == Torn::kEmpty) bytes.clear();
    if (!node->synced && torn == Torn::kHalf) bytes.resize(bytes.size() / 2);
    if (!node->synced && torn == Torn::kZeros) bytes.assign(bytes.size(), '\0');
    std::ofstream(path, std::ios::trunc | std::ios::binary) << bytes;
  }
}

}  // namespace hfwa::store
