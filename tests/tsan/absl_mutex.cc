// Tells ThreadSanitizer about absl::Mutex and Notification. The distribution's Abseil isn't
// instrumented, so without this every access under a Mutex, or after a Notification, looks like a
// race, and suppressing those would hide the real ones. Linked into the tests of ThreadSanitizer
// builds only; the definitions here come before the shared library's, which they call.

#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

#define HFWA_TEXT_OF(x) #x
#define HFWA_TEXT(x) HFWA_TEXT_OF(x)

namespace {

// The library's function, by the rest of its mangled name ("5Mutex4LockEv").
template <typename Function>
Function Real(const char* rest, const char* begin = "_ZN4absl") {
  const std::string space = HFWA_TEXT(ABSL_OPTION_INLINE_NAMESPACE_NAME);
  const std::string name = begin + std::to_string(space.size()) + space + rest;
  void* found = dlsym(RTLD_NEXT, name.c_str());
  if (found == nullptr) {
    std::fprintf(stderr, "absl_mutex.cc: Abseil has no %s\n", name.c_str());
    std::abort();
  }
  return reinterpret_cast<Function>(found);  // member functions without virtuals take `this` first
}

constexpr char kConstMember[] = "_ZNK4absl";

// A condition is evaluated, by whichever thread, with the mutex held; the library locks it unseen.
struct Seen {
  absl::Mutex* mutex;
  const absl::Condition* condition;
  static bool Eval(Seen* seen) {
    __tsan_acquire(seen->mutex);
    const bool result = seen->condition->Eval();
    __tsan_release(seen->mutex);
    return result;
  }
};

}  // namespace

// Holds from here on; RELEASE gives up first, for waits that start with the mutex held.
#define HFWA_ACQUIRE(rest, type, ...)        \
  static const auto real = Real<type>(rest); \
  real(__VA_ARGS__);                         \
  __tsan_acquire(this)
#define HFWA_ACQUIRE_IF(rest, type, ...)     \
  static const auto real = Real<type>(rest); \
  const bool result = real(__VA_ARGS__);     \
  if (result) __tsan_acquire(this);          \
  return result
#define HFWA_WAIT(mutex, rest, type, ...)    \
  static const auto real = Real<type>(rest); \
  __tsan_release(mutex);                     \
  const auto result = real(__VA_ARGS__);     \
  __tsan_acquire(mutex);                     \
  return result
#define HFWA_WAIT_VOID(mutex, rest, type, ...) \
  static const auto real = Real<type>(rest);   \
  __tsan_release(mutex);                       \
  real(__VA_ARGS__);                           \
  __tsan_acquire(mutex)

namespace absl {
ABSL_NAMESPACE_BEGIN

void Mutex::Lock() { HFWA_ACQUIRE("5Mutex4LockEv", void (*)(Mutex*), this); }
void Mutex::ReaderLock() { HFWA_ACQUIRE("5Mutex10ReaderLockEv", void (*)(Mutex*), this); }
bool Mutex::TryLock() { HFWA_ACQUIRE_IF("5Mutex7TryLockEv", bool (*)(Mutex*), this); }
bool Mutex::ReaderTryLock() { HFWA_ACQUIRE_IF("5Mutex13ReaderTryLockEv", bool (*)(Mutex*), this); }

void Mutex::Unlock() {
  static const auto real = Real<void (*)(Mutex*)>("5Mutex6UnlockEv");
  __tsan_release(this);
  real(this);
}
void Mutex::ReaderUnlock() {
  static const auto real = Real<void (*)(Mutex*)>("5Mutex12ReaderUnlockEv");
  __tsan_release(this);
  real(this);
}

void Mutex::Await(const Condition& c) {
  Seen seen{this, &c};
  const Condition wrapped(&Seen::Eval, &seen);
  HFWA_WAIT_VOID(this, "5Mutex5AwaitERKNS0_9ConditionE", void (*)(Mutex*, const Condition&), this,
                 wrapped);
}
bool Mutex::AwaitWithTimeout(const Condition& c, Duration d) {
  Seen seen{this, &c};
  const Condition wrapped(&Seen::Eval, &seen);
  HFWA_WAIT(this, "5Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE",
            bool (*)(Mutex*, const Condition&, Duration), this, wrapped, d);
}
bool Mutex::AwaitWithDeadline(const Condition& c, Time t) {
  Seen seen{this, &c};
  const Condition wrapped(&Seen::Eval, &seen);
  HFWA_WAIT(this, "5Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE",
            bool (*)(Mutex*, const Condition&, Time), this, wrapped, t);
}
void Mutex::LockWhen(const Condition& c) {
  Seen seen{this, &c};
  const Condition wrapped(&Seen::Eval, &seen);
  HFWA_WAIT_VOID(this, "5Mutex8LockWhenERKNS0_9ConditionE", void (*)(Mutex*, const Condition&),
                 this, wrapped);
}
bool Mutex::LockWhenWithTimeout(const Condition& c, Duration d) {
  Seen seen{this, &c};
  const Condition wrapped(&Seen::Eval, &seen);
  HFWA_WAIT(this, "5Mutex19LockWhenWithTimeoutERKNS0_9ConditionENS0_8DurationE",
            bool (*)(Mutex*, const Condition&, Duration), this, wrapped, d);
}
bool Mutex::LockWhenWithDeadline(const Condition& c, Time t) {
  Seen seen{this, &c};
  const Condition wrapped(&Seen::Eval, &seen);
  HFWA_WAIT(this, "5Mutex20LockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE",
            bool (*)(Mutex*, const Condition&, Time), this, wrapped, t);
}

void CondVar::Wait(Mutex* mu) {
  HFWA_WAIT_VOID(mu, "7CondVar4WaitEPNS0_5MutexE", void (*)(CondVar*, Mutex*), this, mu);
}
bool CondVar::WaitWithTimeout(Mutex* mu, Duration d) {
  HFWA_WAIT(mu, "7CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE",
            bool (*)(CondVar*, Mutex*, Duration), this, mu, d);
}
bool CondVar::WaitWithDeadline(Mutex* mu, Time t) {
  HFWA_WAIT(mu, "7CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE",
            bool (*)(CondVar*, Mutex*, Time), this, mu, t);
}

void Notification::Notify() {
  static const auto real = Real<void (*)(Notification*)>("12Notification6NotifyEv");
  __tsan_release(this);
  real(this);
}
void Notification::WaitForNotification() const {
  static const auto real =
      Real<void (*)(const Notification*)>("12Notification19WaitForNotificationEv", kConstMember);
  real(this);
  __tsan_acquire(const_cast<Notification*>(this));
}
bool Notification::WaitForNotificationWithTimeout(Duration d) const {
  static const auto real = Real<bool (*)(const Notification*, Duration)>(
      "12Notification30WaitForNotificationWithTimeoutENS0_8DurationE", kConstMember);
  const bool notified = real(this, d);
  if (notified) __tsan_acquire(const_cast<Notification*>(this));
  return notified;
}

ABSL_NAMESPACE_END
}  // namespace absl
