#include "tests/store/faults.h"

#include <sqlite3.h>

#include <cerrno>
#include <utility>

#include "core/base/status_macros.h"

namespace hfwa::store {

void FaultPlan::Arm(Fault fault, int n, bool sticky) {
  absl::MutexLock lock(&mu_);
  fault_ = fault;
  n_ = n;
  calls_ = 0;
  sticky_ = sticky;
  fired_ = false;
}

void FaultPlan::Disarm() {
  absl::MutexLock lock(&mu_);
  n_ = 0;
}

bool FaultPlan::Hits(bool takes_space) {
  absl::MutexLock lock(&mu_);
  if (n_ == 0 || (fault_ == Fault::kDiskFull && !takes_space)) return false;
  ++calls_;
  const bool hit = calls_ == n_ || (sticky_ && calls_ > n_);
  fired_ = fired_ || hit;
  return hit;
}

bool FaultPlan::fired() const {
  absl::MutexLock lock(&mu_);
  return fired_;
}

Fault FaultPlan::fault() const {
  absl::MutexLock lock(&mu_);
  return fault_;
}

namespace {

absl::Status Injected(FaultPlan& plan, bool takes_space, const std::string& path) {
  if (!plan.Hits(takes_space)) return absl::OkStatus();
  return FileError(plan.fault() == Fault::kDiskFull ? ENOSPC : EIO, "injected", path);
}

class FaultyFile final : public WritableFile {
 public:
  FaultyFile(std::unique_ptr<WritableFile> file, FaultPlan& plan)
      : file_(std::move(file)), plan_(plan) {}
  absl::Status Write(std::string_view bytes) override {
    absl::Status injected = Injected(plan_, true, "write");
    if (injected.ok()) return file_->Write(bytes);
    file_->Write(bytes.substr(0, bytes.size() / 2)).IgnoreError();  // as a real disk does
    return injected;
  }
  absl::Status Sync() override {
    HFWA_RETURN_IF_ERROR(Injected(plan_, true, "fsync"));
    return file_->Sync();
  }
  absl::Status Close() override {
    HFWA_RETURN_IF_ERROR(Injected(plan_, true, "close"));
    return file_->Close();
  }

 private:
  std::unique_ptr<WritableFile> file_;
  FaultPlan& plan_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<WritableFile>> FaultyFileSystem::Create(const std::string& path) {
  HFWA_RETURN_IF_ERROR(Injected(plan_, true, path));
  HFWA_ASSIGN_OR_RETURN(auto file, FileSystem::Real().Create(path));
  return std::make_unique<FaultyFile>(std::move(file), plan_);
}
absl::StatusOr<std::string> FaultyFileSystem::Read(const std::string& path, size_t max_bytes) {
  HFWA_RETURN_IF_ERROR(Injected(plan_, false, path));
  return FileSystem::Real().Read(path, max_bytes);
}
absl::Status FaultyFileSystem::SyncFile(const std::string& path) {
  HFWA_RETURN_IF_ERROR(Injected(plan_, false, path));
  return FileSystem::Real().SyncFile(path);
}
absl::Status FaultyFileSystem::Rename(const std::string& from, const std::string& to) {
  HFWA_RETURN_IF_ERROR(Injected(plan_, true, from));
  return FileSystem::Real().Rename(from, to);
}
absl::Status FaultyFileSystem::Remove(const std::string& path) {
  HFWA_RETURN_IF_ERROR(Injected(plan_, false, path));
  return FileSystem::Real().Remove(path);
}
absl::Status FaultyFileSystem::MakeDirectory(const std::string& path) {
  HFWA_RETURN_IF_ERROR(Injected(plan_, true, path));
  return FileSystem::Real().MakeDirectory(path);
}
absl::Status FaultyFileSystem::SyncDirectory(const std::string& path) {
  HFWA_RETURN_IF_ERROR(Injected(plan_, false, path));
  return FileSystem::Real().SyncDirectory(path);
}
absl::StatusOr<std::vector<std::string>> FaultyFileSystem::List(const std::string& path) {
  HFWA_RETURN_IF_ERROR(Injected(plan_, false, path));
  return FileSystem::Real().List(path);
}
absl::StatusOr<bool> FaultyFileSystem::Exists(const std::string& path) {
  HFWA_RETURN_IF_ERROR(Injected(plan_, false, path));
  return FileSystem::Real().Exists(path);
}
absl::StatusOr<int64_t> FaultyFileSystem::FreeBytes(const std::string& path) {
  HFWA_RETURN_IF_ERROR(Injected(plan_, false, path));
  return FileSystem::Real().FreeBytes(path);
}

// SQLite's side: each file of ours is followed in memory by the real one.
namespace {

struct ShimFile {
  sqlite3_file base;
  FaultPlan* plan;
};

sqlite3_file* RealFile(sqlite3_file* file) {
  return reinterpret_cast<sqlite3_file*>(reinterpret_cast<char*>(file) + sizeof(ShimFile));
}
bool Hits(sqlite3_file* file, bool takes_space) {
  return reinterpret_cast<ShimFile*>(file)->plan->Hits(takes_space);
}
sqlite3_vfs* RealVfs() { return sqlite3_vfs_find("unix"); }
FaultPlan& PlanOf(sqlite3_vfs* vfs) { return *static_cast<FaultPlan*>(vfs->pAppData); }

int Close(sqlite3_file* f) { return RealFile(f)->pMethods->xClose(RealFile(f)); }
int Read(sqlite3_file* f, void* to, int n, sqlite3_int64 at) {
  return Hits(f, false) ? SQLITE_IOERR_READ : RealFile(f)->pMethods->xRead(RealFile(f), to, n, at);
}
int Write(sqlite3_file* f, const void* from, int n, sqlite3_int64 at) {
  FaultPlan* const plan = reinterpret_cast<ShimFile*>(f)->plan;
  if (!plan->Hits(true)) return RealFile(f)->pMethods->xWrite(RealFile(f), from, n, at);
  RealFile(f)->pMethods->xWrite(RealFile(f), from, n / 2, at);
  return plan->fault() == Fault::kDiskFull ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}
int Truncate(sqlite3_file* f, sqlite3_int64 size) {
  return Hits(f, false) ? SQLITE_IOERR_TRUNCATE
                        : RealFile(f)->pMethods->xTruncate(RealFile(f), size);
}
int Sync(sqlite3_file* f, int flags) {
  return Hits(f, false) ? SQLITE_IOERR_FSYNC : RealFile(f)->pMethods->xSync(RealFile(f), flags);
}
int FileSize(sqlite3_file* f, sqlite3_int64* size) {
  return RealFile(f)->pMethods->xFileSize(RealFile(f), size);
}
int Lock(sqlite3_file* f, int kind) { return RealFile(f)->pMethods->xLock(RealFile(f), kind); }
int Unlock(sqlite3_file* f, int kind) { return RealFile(f)->pMethods->xUnlock(RealFile(f), kind); }
int CheckReserved(sqlite3_file* f, int* out) {
  return RealFile(f)->pMethods->xCheckReservedLock(RealFile(f), out);
}
int Control(sqlite3_file* f, int op, void* arg) {
  return RealFile(f)->pMethods->xFileControl(RealFile(f), op, arg);
}
int SectorSize(sqlite3_file* f) { return RealFile(f)->pMethods->xSectorSize(RealFile(f)); }
int Characteristics(sqlite3_file* f) {
  return RealFile(f)->pMethods->xDeviceCharacteristics(RealFile(f));
}
int ShmMap(sqlite3_file* f, int page, int size, int extend, void volatile** out) {
  return Hits(f, false) ? SQLITE_IOERR_SHMMAP
                        : RealFile(f)->pMethods->xShmMap(RealFile(f), page, size, extend, out);
}
int ShmLock(sqlite3_file* f, int at, int n, int flags) {
  return RealFile(f)->pMethods->xShmLock(RealFile(f), at, n, flags);
}
void ShmBarrier(sqlite3_file* f) { RealFile(f)->pMethods->xShmBarrier(RealFile(f)); }
int ShmUnmap(sqlite3_file* f, int remove) {
  return RealFile(f)->pMethods->xShmUnmap(RealFile(f), remove);
}

constexpr sqlite3_io_methods kMethods = {
    2,        Close,         Read,    Write,      Truncate,        Sync,   FileSize, Lock,
    Unlock,   CheckReserved, Control, SectorSize, Characteristics, ShmMap, ShmLock,  ShmBarrier,
    ShmUnmap, nullptr,       nullptr};

int Open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  file->pMethods = nullptr;
  if (PlanOf(vfs).Hits(false)) return SQLITE_CANTOPEN;
  reinterpret_cast<ShimFile*>(file)->plan = &PlanOf(vfs);
  const int code = RealVfs()->xOpen(RealVfs(), name, RealFile(file), flags, out_flags);
  if (RealFile(file)->pMethods != nullptr) file->pMethods = &kMethods;
  return code;
}
int Delete(sqlite3_vfs* vfs, const char* name, int sync) {
  return PlanOf(vfs).Hits(false) ? SQLITE_IOERR_DELETE : RealVfs()->xDelete(RealVfs(), name, sync);
}
int Access(sqlite3_vfs*, const char* name, int flags, int* out) {
  return RealVfs()->xAccess(RealVfs(), name, flags, out);
}
int FullPathname(sqlite3_vfs*, const char* name, int n, char* out) {
  return RealVfs()->xFullPathname(RealVfs(), name, n, out);
}

}  // namespace

FaultyVfs::FaultyVfs(FaultPlan& plan) : vfs_(std::make_unique<sqlite3_vfs>(*RealVfs())) {
  vfs_->zName = "hfwa-faulty";
  vfs_->pNext = nullptr;
  vfs_->pAppData = &plan;
  vfs_->szOsFile = static_cast<int>(sizeof(ShimFile)) + RealVfs()->szOsFile;
  vfs_->xOpen = Open;
  vfs_->xDelete = Delete;
  vfs_->xAccess = Access;
  vfs_->xFullPathname = FullPathname;
  sqlite3_vfs_register(vfs_.get(), 0);
}

FaultyVfs::~FaultyVfs() { sqlite3_vfs_unregister(vfs_.get()); }

}  // namespace hfwa::store
