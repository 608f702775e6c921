#include "client/bench/load_generator.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"

namespace hfwa::bench {
namespace {

// A wait for a Wake alone.
constexpr absl::Duration kLong = absl::Hours(1);

}  // namespace

std::string Describe(const LoadOptions& options) {
  const std::string load =
      options.open()
          ? absl::StrFormat("open loop, %.6g/s, %s", options.rate,
                            options.arrivals == ArrivalKind::kPoisson ? "poisson" : "constant")
          : absl::StrCat("closed loop, ", options.concurrency, " at once");
  return absl::StrCat(load, "; ", absl::FormatDuration(options.duration), " after ",
                      absl::FormatDuration(options.warmup), " of warm-up, seed ", options.seed);
}

struct LoadGenerator::State {
  void Answered(Sample sample, const Outcome& outcome, Pacer& pacer) {
    absl::MutexLock lock(&mu);
    --outstanding;
    if (giving_up && outcome.code == absl::StatusCode::kCancelled) {
      recording.given_up.push_back(sample.intended);
    } else {
      sample.code = outcome.code;
      sample.reason = recording.ReasonIndex(outcome.reason);
      sample.batch_size = outcome.batch_size;
      sample.stages_ms = outcome.stages_ms;
      ++(sample.ok() ? ok : failed);
      recording.samples.push_back(sample);
    }
    // Under the lock: the run, and with it the pacer, may end as soon as it finds none outstanding.
    if (wake_on_answer) pacer.Wake();
  }

  absl::Mutex mu;
  Recording recording ABSL_GUARDED_BY(mu);
  size_t sent ABSL_GUARDED_BY(mu) = 0;
  size_t ok ABSL_GUARDED_BY(mu) = 0;
  size_t failed ABSL_GUARDED_BY(mu) = 0;
  size_t outstanding ABSL_GUARDED_BY(mu) = 0;
  bool wake_on_answer ABSL_GUARDED_BY(mu) = false;  // An open loop need not know of answers.
  bool giving_up ABSL_GUARDED_BY(mu) = false;
};

LoadGenerator::LoadGenerator(LoadOptions options, Pacer& pacer, Caller& caller,
                             std::function<double()> cpu_seconds)
    : options_(options),
      pacer_(pacer),
      caller_(caller),
      cpu_seconds_(std::move(cpu_seconds)),
      arrivals_(options.arrivals, options.rate, options.seed),
      mix_(options.products, options.pictures, options.seed),
      begin_(pacer.Now()),
      state_(std::make_shared<State>()) {
  if (options_.open()) next_arrival_ = arrivals_.Next();
  absl::MutexLock lock(&state_->mu);
  state_->wake_on_answer = !options_.open();
}

LoadGenerator::~LoadGenerator() = default;

Recording LoadGenerator::Run(const std::stop_token& interrupt) {
  std::stop_callback wake(interrupt, [this] { pacer_.Wake(); });
  SendAll(interrupt);
  Drain(interrupt);
  absl::MutexLock lock(&state_->mu);
  state_->recording.interrupted = interrupt.stop_requested();
  return std::move(state_->recording);
}

Progress LoadGenerator::progress() const {
  absl::MutexLock lock(&state_->mu);
  return {.elapsed = pacer_.Now() - begin_,
          .sent = state_->sent,
          .ok = state_->ok,
          .failed = state_->failed,
          .not_sent = state_->recording.not_sent.size()};
}

void LoadGenerator::SendAll(const std::stop_token& interrupt) {
  const absl::Duration window_begin = begin_ + options_.warmup;
  const absl::Duration end = window_begin + options_.duration;
  std::optional<double> cpu_before;
  absl::Duration now = pacer_.Now();
  for (; !interrupt.stop_requested(); now = pacer_.Now()) {
    if (!cpu_before.has_value() && now >= window_begin) cpu_before = cpu_seconds_();
    const absl::Duration next = NextSend(now);
    // An open loop that is late still owes what was due before the end.
    const bool more = options_.open() ? next < end : now < end;
    if (more && next <= now) {
      Send(next);
      continue;
    }
    if (now >= end) break;
    pacer_.WaitUntil(std::min({more ? next : end, end, now < window_begin ? window_begin : end}));
  }
  absl::MutexLock lock(&state_->mu);
  Recording& recording = state_->recording;
  recording.window_begin = absl::ToDoubleSeconds(options_.warmup);
  recording.window_end =
      std::max(recording.window_begin, absl::ToDoubleSeconds(std::min(now, end) - begin_));
  if (cpu_before.has_value()) recording.cpu_seconds = cpu_seconds_() - *cpu_before;
}

absl::Duration LoadGenerator::NextSend(absl::Duration now) const {
  if (options_.open()) return begin_ + next_arrival_;
  absl::MutexLock lock(&state_->mu);
  return state_->outstanding < options_.concurrency ? now : absl::InfiniteDuration();
}

void LoadGenerator::Send(absl::Duration intended) {
  const Pick pick = mix_.Next();
  if (options_.open()) next_arrival_ = arrivals_.Next();
  Sample sample;
  sample.intended = absl::ToDoubleSeconds(intended - begin_);
  {
    absl::MutexLock lock(&state_->mu);
    if (options_.open() && state_->outstanding >= options_.max_outstanding) {
      state_->recording.not_sent.push_back(sample.intended);
      return;
    }
    ++state_->sent;
    ++state_->outstanding;
    state_->recording.most_outstanding =
        std::max(state_->recording.most_outstanding, state_->outstanding);
  }
  sample.sent = absl::ToDoubleSeconds(pacer_.Now() - begin_);
  caller_.Call(pick, [state = state_, &pacer = pacer_, begin = begin_,
                      sample](const Outcome& outcome) mutable {
    sample.done = absl::ToDoubleSeconds(pacer.Now() - begin);
    state->Answered(sample, outcome, pacer);
  });
}

void LoadGenerator::Drain(const std::stop_token& interrupt) {
  bool cancelled = false;
  while (true) {
    const bool give_up = interrupt.stop_requested();
    {
      absl::MutexLock lock(&state_->mu);
      if (state_->outstanding == 0) return;
      state_->wake_on_answer = true;
      state_->giving_up = give_up;
    }
    if (give_up && !cancelled) {
      caller_.CancelAll();
      cancelled = true;
    }
    pacer_.WaitUntil(pacer_.Now() + kLong);
  }
}

std::vector<ColdCall> CallEachProductOnce(const LoadOptions& options, Pacer& pacer, Caller& caller,
                                          const std::stop_token& interrupt) {
  struct Answer {
    absl::Mutex mu;
    std::optional<ColdCall> call ABSL_GUARDED_BY(mu);
  };
  std::stop_callback cancel(interrupt, [&caller] { caller.CancelAll(); });
  std::vector<ColdCall> calls;
  Mix mix(1, options.pictures, options.seed);
  for (size_t product = 0; product < options.products && !interrupt.stop_requested(); ++product) {
    auto answer = std::make_shared<Answer>();
    const absl::Duration sent = pacer.Now();
    caller.Call({product, mix.Next().picture}, [answer, product, sent, &pacer](Outcome outcome) {
      absl::MutexLock lock(&answer->mu);
      answer->call = ColdCall{product, pacer.Now() - sent, std::move(outcome)};
      pacer.Wake();
    });
    const auto answered = [&] {
      absl::MutexLock lock(&answer->mu);
      return answer->call.has_value();
    };
    while (!answered()) pacer.WaitUntil(pacer.Now() + kLong);
    absl::MutexLock lock(&answer->mu);
    calls.push_back(*std::move(answer->call));
  }
  return calls;
}

}  // namespace hfwa::bench
