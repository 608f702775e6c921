// What the planner costs: items admitted and dispatched a second on one core, beside a queue that
// holds `waiting` items of `products` products.

#include <benchmark/benchmark.h>

#include <cstdlib>

#include "core/batching/planner.h"

namespace hfwa::batching {
namespace {

void AdmitAndDispatch(benchmark::State& state, bool deadlines) {
  const auto waiting = static_cast<uint64_t>(state.range(0));
  const auto products = static_cast<uint64_t>(state.range(1));
  BatchPlanner planner({.batch_max = 8, .items_max = 4096});
  for (int b = 1; b <= 8; ++b) planner.ObserveBatch(b, absl::Microseconds(400 + 100 * b));
  absl::Duration now = absl::Seconds(1);
  uint64_t ticket = 0;
  const auto admit = [&] {
    ItemInfo info{.product = ticket * 7 % products, .bytes = 1000};
    if (deadlines) info.deadline = now + absl::Seconds(10) + absl::Microseconds(ticket * 31 % 997);
    if (!planner.Admit(ticket++, info, now).ok()) std::abort();
  };
  while (ticket < waiting) admit();
  int64_t items = 0;
  while (state.KeepRunning()) {
    for (int i = 0; i < 8; ++i) admit();
    const absl::Duration took = absl::Microseconds(1200);
    if (!planner.TakeExpired(now).empty()) std::abort();
    const auto batch = planner.TakeBatch(now);
    now += took;
    planner.EndBatch(took);
    items += static_cast<int64_t>(batch->tickets.size());
  }
  state.SetItemsProcessed(items);
}

void Sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"waiting", "products"});
  for (const int waiting : {0, 256, 2048}) {
    for (const int products : {1, 10, 100}) bench->Args({waiting, products});
  }
}
BENCHMARK_CAPTURE(AdmitAndDispatch, without_deadlines, false)->Apply(Sizes);
BENCHMARK_CAPTURE(AdmitAndDispatch, with_deadlines, true)->Apply(Sizes);

// The costliest admission: the deadline is so close that what goes before must be counted.
void AdmitWithLittleTime(benchmark::State& state) {
  const auto waiting = static_cast<uint64_t>(state.range(0));
  const auto products = static_cast<uint64_t>(state.range(1));
  BatchPlanner planner({.batch_max = 8, .items_max = 4096});
  for (int b = 1; b <= 8; ++b) planner.ObserveBatch(b, absl::Microseconds(400 + 100 * b));
  const absl::Duration now = absl::Seconds(1);
  for (uint64_t ticket = 0; ticket < waiting; ++ticket) {
    const ItemInfo info{.product = ticket * 7 % products, .deadline = now + absl::Seconds(10)};
    if (!planner.Admit(ticket, info, now).ok()) std::abort();
  }
  const ItemInfo close{.product = products, .deadline = now + absl::Milliseconds(5)};
  while (state.KeepRunning()) {
    if (planner.Admit(waiting, close, now).ok()) planner.Remove(waiting);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(AdmitWithLittleTime)->Apply(Sizes);

}  // namespace
}  // namespace hfwa::batching

BENCHMARK_MAIN();
