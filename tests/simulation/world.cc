#include "tests/simulation/world.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace hfwa::batching {

double Random::Exponential(double mean) { return -mean * std::log1p(-Unit()); }

void AddPoisson(std::vector<Arrival>& arrivals, Random& random, double rate, absl::Duration from,
                absl::Duration to, const std::function<Arrival(absl::Duration)>& make) {
  for (absl::Duration at = from;;) {
    at += absl::Nanoseconds(std::llround(random.Exponential(1e9 / rate)));
    if (at >= to) return;
    arrivals.push_back(make(at));
  }
}

void SortByTime(std::vector<Arrival>& arrivals) {
  std::stable_sort(arrivals.begin(), arrivals.end(),
                   [](const Arrival& a, const Arrival& b) { return a.at < b.at; });
}

namespace {

absl::Duration Nanos(double seconds) { return absl::Nanoseconds(std::llround(seconds * 1e9)); }

class World {
 public:
  World(const PlannerOptions& options, const Device& device, const std::vector<Arrival>& arrivals)
      : options_(options), device_(device), planner_(options), random_(device.seed) {
    for (const int size : {1, 1, 2}) {  // the warm-up
      planner_.ObserveBatch(size, Nanos(device.Seconds(size) * device.slowness({})));
    }
    played_.fates.reserve(arrivals.size());
    for (const Arrival& arrival : arrivals) played_.fates.push_back({.arrival = arrival});
  }

  Played Run() {
    while (played_.violation.empty()) {
      const absl::Duration next = NextEvent();
      if (next == absl::InfiniteDuration()) break;
      Check(next >= now_, "time goes back");
      stuck_ = next == now_ ? stuck_ + 1 : 0;
      Check(stuck_ < 1000, "what has expired is never taken out");
      now_ = next;
      if (now_ >= batch_end_) EndBatch();
      Cancel();
      Arrive();
      Expire();
      if (batch_.empty()) StartBatch();
      CheckLimits();
    }
    Check(waiting_.empty(), "something waits for ever");
    CheckSums();
    return std::move(played_);
  }

 private:
  using Ticket = BatchPlanner::Ticket;

  Fate& fate(Ticket ticket) { return played_.fates[ticket]; }

  void Check(bool holds, const char* promise) {
    if (!holds && played_.violation.empty()) {
      played_.violation = std::string(promise) + " at " + absl::FormatDuration(now_);
    }
  }

  void Note(char what, Ticket ticket) {
    played_.trace += what;
    played_.trace += std::to_string(ticket);
    played_.trace += '@';
    played_.trace += std::to_string(absl::ToInt64Nanoseconds(now_));
  }

  absl::Duration NextEvent() const {
    absl::Duration next = batch_end_;
    if (arrived_ < played_.fates.size()) next = std::min(next, played_.fates[arrived_].arrival.at);
    if (!cancels_.empty()) next = std::min(next, cancels_.begin()->first);
    // An item expires when its last moment has passed.
    const absl::Duration expiry = planner_.NextExpiry();
    if (expiry < absl::InfiniteDuration()) {
      next = std::min(next, std::max(now_, expiry + absl::Nanoseconds(1)));
    }
    return next;
  }

  void Leave(Ticket ticket, End end, char what) {
    Check(waiting_.erase(ticket) == 1, "an item ended twice");
    const Arrival& arrival = fate(ticket).arrival;
    bytes_ -= arrival.info.bytes;
    cancels_.erase({arrival.cancel_at, ticket});
    --held_[Index(arrival.info.lane)];
    fate(ticket).end = end;
    fate(ticket).started = fate(ticket).ended = now_;
    Note(what, ticket);
  }

  static size_t Index(Lane lane) { return static_cast<size_t>(lane); }

  void Arrive() {
    for (; arrived_ < played_.fates.size() && fate(arrived_).arrival.at <= now_; ++arrived_) {
      const Arrival& arrival = fate(arrived_).arrival;
      const absl::Status status = planner_.Admit(arrived_, arrival.info, now_);
      if (!status.ok()) {
        const bool late = absl::IsDeadlineExceeded(status);
        Check(late || absl::IsResourceExhausted(status), "refused with another code");
        fate(arrived_).end = late ? End::kTooLate : End::kFull;
        fate(arrived_).ended = now_;
        Note(late ? 'l' : 'f', arrived_);
        continue;
      }
      waiting_.insert(arrived_);
      bytes_ += arrival.info.bytes;
      if (held_[Index(arrival.info.lane)]++ == 0) since_[Index(arrival.info.lane)] = now_;
      if (arrival.cancel_at < absl::InfiniteDuration())
        cancels_.emplace(std::max(now_, arrival.cancel_at), arrived_);
      Note('a', arrived_);
    }
  }

  void Cancel() {
    while (!cancels_.empty() && cancels_.begin()->first <= now_) {
      const Ticket ticket = cancels_.begin()->second;
      cancels_.erase(cancels_.begin());
      Check(planner_.Remove(ticket), "a waiting item is unknown");
      Leave(ticket, End::kCancelled, 'c');
    }
  }

  void Expire() {
    const absl::Duration promised = planner_.NextExpiry();
    const auto expired = planner_.TakeExpired(now_);
    Check(expired.empty() || promised < now_, "expired before it was announced");
    for (const Ticket ticket : expired) Leave(ticket, End::kExpired, 'x');
  }

  void StartBatch() {
    const auto batch = planner_.TakeBatch(now_);
    Check(batch.has_value() || waiting_.empty(), "the device idles while work waits");
    if (!batch.has_value()) return;
    batch_ = batch->tickets;
    const int size = static_cast<int>(batch_.size());
    Check(size >= 1 && size <= options_.batch_max, "a batch is over its bucket");
    for (const Ticket ticket : batch_) {
      const Arrival& arrival = fate(ticket).arrival;
      Check(waiting_.contains(ticket), "dispatched what does not wait");
      Check(arrival.info.deadline >= now_, "dispatched after its deadline");
      Check(arrival.cancel_at > now_, "dispatched after its cancellation");
      Check(arrival.info.lane == batch->lane, "a batch mixes lanes");
      Check(!arrival.info.alone || size == 1, "a lonely item has company");
      Leave(ticket, End::kOk, 'd');
    }
    double seconds = device_.Seconds(size) * device_.slowness(now_);
    seconds *= 1 + device_.noise * (2 * random_.Unit() - 1);
    batch_end_ = now_ + Nanos(seconds);
    played_.busy += Nanos(seconds);
    longest_ = std::max(longest_, Nanos(seconds));
    CheckStarvation(batch->lane);
    since_[Index(batch->lane)] = now_;
  }

  // While a lane has work, another gets at most what their weights say, and a batch more.
  void CheckStarvation(Lane served) {
    const double own = options_.lane_weights[Index(served)];
    double batches = 2 + options_.live_credit;  // also the one in progress and its own before
    for (int other = 0; other < kLanes; ++other) {
      if (other == static_cast<int>(served)) continue;
      batches += 2 + options_.lane_weights[static_cast<size_t>(other)] / own;
    }
    Check(now_ - since_[Index(served)] <= batches * longest_, "a lane starves");
  }

  void EndBatch() {
    planner_.EndBatch(batch_end_ - fate(batch_.front()).started);
    const bool failed = random_.Chance(device_.fails);
    for (const Ticket ticket : batch_) {
      fate(ticket).end = failed ? End::kFailed : End::kOk;
      fate(ticket).ended = now_;
      Note(failed ? 'e' : 'o', ticket);
    }
    batch_.clear();
    batch_end_ = absl::InfiniteDuration();
  }

  void CheckLimits() {
    Check(planner_.waiting() == static_cast<int>(waiting_.size()), "the count is wrong");
    Check(planner_.waiting_bytes() == bytes_, "the bytes are wrong");
    Check(planner_.waiting() <= options_.items_max, "too many items");
    Check(bytes_ <= options_.bytes_max, "too many bytes");
  }

  // accepted = ok + expired + cancelled + failed, counted from the trace: what was admitted ended
  // once, as something.
  void CheckSums() {
    std::map<char, int64_t> count;
    for (const char c : played_.trace) {
      if (c >= 'a') ++count[c];
    }
    Check(count['a'] == count['o'] + count['x'] + count['c'] + count['e'], "an item was lost");
    Check(count['d'] == count['o'] + count['e'], "a dispatched item was lost");
  }

  const PlannerOptions options_;
  const Device& device_;
  BatchPlanner planner_;
  Random random_;
  Played played_;
  absl::Duration now_;
  size_t arrived_ = 0;
  int stuck_ = 0;  // steps without time going on
  std::set<Ticket> waiting_;
  std::set<std::pair<absl::Duration, Ticket>> cancels_;
  int64_t bytes_ = 0;
  std::array<int, kLanes> held_ = {};
  std::array<absl::Duration, kLanes> since_;  // a lane has had work, and no batch
  absl::Duration longest_;                    // batch so far
  std::vector<Ticket> batch_;
  absl::Duration batch_end_ = absl::InfiniteDuration();
};

}  // namespace

Played Play(const PlannerOptions& options, const Device& device,
            const std::vector<Arrival>& arrivals) {
  return World(options, device, arrivals).Run();
}

int EarliestDeadlinePlan(int batch_max, const Device& device,
                         const std::vector<Arrival>& arrivals) {
  std::multiset<absl::Duration> waiting;  // deadlines
  size_t arrived = 0;
  absl::Duration now;
  int in_time = 0;
  while (arrived < arrivals.size() || !waiting.empty()) {
    if (waiting.empty()) now = std::max(now, arrivals[arrived].at);
    for (; arrived < arrivals.size() && arrivals[arrived].at <= now; ++arrived)
      waiting.insert(arrivals[arrived].info.deadline);
    while (!waiting.empty() && now + Nanos(device.Seconds(1)) > *waiting.begin())
      waiting.erase(waiting.begin());
    int size = 0;
    while (size < batch_max && size < static_cast<int>(waiting.size()) &&
           now + Nanos(device.Seconds(size + 1)) <= *waiting.begin()) {
      ++size;
    }
    if (size == 0) continue;
    for (int i = 0; i < size; ++i) waiting.erase(waiting.begin());
    now += Nanos(device.Seconds(size));
    in_time += size;
  }
  return in_time;
}

absl::Duration Quantile(const std::vector<Fate>& fates, double q,
                        const std::function<bool(const Fate&)>& chosen) {
  std::vector<absl::Duration> latencies;
  for (const Fate& fate : fates) {
    if (fate.end == End::kOk && chosen(fate)) latencies.push_back(fate.Latency());
  }
  if (latencies.empty()) return absl::InfiniteDuration();
  const auto rank = static_cast<size_t>(q * static_cast<double>(latencies.size() - 1));
  std::nth_element(latencies.begin(), latencies.begin() + static_cast<ptrdiff_t>(rank),
                   latencies.end());
  return latencies[rank];
}

}  // namespace hfwa::batching
