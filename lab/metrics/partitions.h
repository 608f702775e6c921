#pragma once

// Any number of small records sorted into 65,536 parts, in bounded memory.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/base/status_macros.h"
#include "lab/metrics/scratch_file.h"

namespace hfwa::lab {

// Records lie in chunks, a list of them a part. When `bytes_max` of chunks are full, all go to a
// file, part after part, as one run, and the chunks are free again. Not thread-safe.
template <typename Record>
class Partitions {
  static_assert(std::is_trivially_copyable_v<Record>);

 public:
  static constexpr size_t kParts = 65536;

  // `folder` as ScratchFile::Create has it; there is no file as long as memory suffices.
  Partitions(size_t bytes_max, std::string folder)
      : chunks_max_(std::max(bytes_max, kSlabBytes) / sizeof(Chunk)),
        folder_(std::move(folder)),
        parts_(kParts) {}

  // Errors of the file are kept for Visit.
  void Add(uint16_t part, Record record) {
    Part& to = parts_[part];
    if (to.next == to.end) Grow(to);
    *to.next++ = record;
    ++to.count;
  }

  uint64_t count(uint16_t part) const { return parts_[part].count; }
  bool on_disk() const { return !runs_.empty(); }

  // Hands over the part's records, some at a time, in any order.
  template <typename Visitor>
  absl::Status Visit(uint16_t part, const Visitor& visit) const;

 private:
  static constexpr size_t kChunkBytes = 2048;
  static constexpr size_t kSlabBytes = 1 << 20;
  struct Chunk {
    static constexpr size_t kRecords = (kChunkBytes - sizeof(void*)) / sizeof(Record);
    Chunk* before;  // of the same part, full
    std::array<Record, kRecords> records;
  };
  static constexpr size_t kSlabChunks = kSlabBytes / sizeof(Chunk);
  struct Part {
    Record* next = nullptr;
    Record* end = nullptr;
    Chunk* last = nullptr;
    uint64_t count = 0;  // also of what is on disk
  };
  // Where the parts of a run begin in the file; one entry more than parts.
  using Run = std::vector<uint64_t>;

  void Grow(Part& part) {
    if (used_ == chunks_max_) Spill();
    if (used_ == slabs_.size() * kSlabChunks) {
      slabs_.push_back(std::make_unique<Chunk[]>(kSlabChunks));
    }
    Chunk* chunk = &slabs_[used_ / kSlabChunks][used_ % kSlabChunks];
    ++used_;
    chunk->before = part.last;
    part.last = chunk;
    part.next = chunk->records.data();
    part.end = part.next + Chunk::kRecords;
  }

  // The chunks of a part in memory, last one first.
  template <typename Visitor>
  static void VisitChunks(const Part& part, const Visitor& visit) {
    const Record* end = part.next;
    for (const Chunk* chunk = part.last; chunk != nullptr; chunk = chunk->before) {
      const Record* begin = chunk->records.data();
      visit(absl::Span<const Record>(begin, static_cast<size_t>(end - begin)));
      if (chunk->before != nullptr) end = chunk->before->records.data() + Chunk::kRecords;
    }
  }

  void Spill() {
    if (status_.ok()) status_ = WriteRun();
    for (Part& part : parts_) {
      part.next = part.end = nullptr;
      part.last = nullptr;
    }
    used_ = 0;
  }

  absl::Status WriteRun();

  const size_t chunks_max_;
  const std::string folder_;
  std::vector<Part> parts_;
  std::vector<std::unique_ptr<Chunk[]>> slabs_;
  size_t used_ = 0;  // chunks
  std::optional<ScratchFile> file_;
  std::vector<Run> runs_;
  absl::Status status_;
};

template <typename Record>
absl::Status Partitions<Record>::WriteRun() {
  if (!file_.has_value()) {
    HFWA_ASSIGN_OR_RETURN(ScratchFile file, ScratchFile::Create(folder_));
    file_.emplace(std::move(file));
  }
  std::vector<Record> buffer;
  constexpr size_t kBuffered = (1 << 20) / sizeof(Record);
  buffer.reserve(kBuffered + Chunk::kRecords);
  const auto flush = [&] {
    absl::Status written = file_->Append(buffer.data(), buffer.size() * sizeof(Record));
    buffer.clear();
    return written;
  };
  Run run;
  run.reserve(kParts + 1);
  uint64_t at = file_->size();
  absl::Status status;
  for (const Part& part : parts_) {
    run.push_back(at);
    VisitChunks(part, [&](absl::Span<const Record> records) {
      buffer.insert(buffer.end(), records.begin(), records.end());
      at += records.size() * sizeof(Record);
      if (buffer.size() >= kBuffered && status.ok()) status = flush();
    });
    HFWA_RETURN_IF_ERROR(status);
  }
  run.push_back(at);
  HFWA_RETURN_IF_ERROR(flush());
  runs_.push_back(std::move(run));
  return absl::OkStatus();
}

template <typename Record>
template <typename Visitor>
absl::Status Partitions<Record>::Visit(uint16_t part, const Visitor& visit) const {
  HFWA_RETURN_IF_ERROR(status_);
  constexpr size_t kBuffered = (1 << 20) / sizeof(Record);
  std::vector<Record> buffer;
  for (const Run& run : runs_) {
    uint64_t at = run[part];
    const uint64_t end = run[size_t{part} + 1];
    while (at < end) {
      buffer.resize(std::min<uint64_t>(kBuffered, (end - at) / sizeof(Record)));
      HFWA_RETURN_IF_ERROR(file_->Read(at, buffer.data(), buffer.size() * sizeof(Record)));
      at += buffer.size() * sizeof(Record);
      visit(absl::Span<const Record>(buffer));
    }
  }
  VisitChunks(parts_[part], visit);
  return absl::OkStatus();
}

}  // namespace hfwa::lab
