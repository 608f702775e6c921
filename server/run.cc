#include "server/run.h"

#include <pthread.h>
#include <unistd.h>
#include <CLI/CLI.hpp>
#include <csignal>
#include <ctime>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <iostream>
#include <map>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "core/base/clock.h"
#include "core/base/processors.h"
#include "core/base/status_macros.h"
#include "server/errors.h"
#include "server/library_logs.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/server.h"
#include "server/settings.h"

namespace hfwa::server {
namespace {

constexpr char kVersion[] = HFWA_VERSION;

// What is left to calls once the device has failed: whoever starts the server again waits for its
// end.
constexpr absl::Duration kFailedTimeout = absl::Milliseconds(4500);

LogLevel LevelOf(const std::string& text) {
  return text == "debug"     ? LogLevel::kDebug
         : text == "warning" ? LogLevel::kWarning
         : text == "error"   ? LogLevel::kError
                             : LogLevel::kInfo;
}

sigset_t EndSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

// The signal that arrived within `timeout`, or 0.
int WaitForSignal(absl::Duration timeout) {
  const sigset_t signals = EndSignals();
  const timespec wait = absl::ToTimespec(timeout);
  const int signal = sigtimedwait(&signals, nullptr, &wait);
  return signal > 0 ? signal : 0;
}

// While it lives, a signal ends the process at once: the operator asked a second time. So does the
// drain timeout.
class HastyExit {
 public:
  HastyExit(absl::Duration deadline, Logger* log)
      : thread_([this, deadline, log] {
          while (!stop_) {
            if (const int signal = WaitForSignal(absl::Milliseconds(50)); signal != 0) {
              log->Error("second signal, ending at once", {{"signal", int64_t{signal}}});
              _exit(128 + signal);
            }
            if (Clock::Real().SteadyNow() > deadline) {
              log->Error("drain timeout, ending at once");
              _exit(kExitInternal);
            }
          }
        }) {}
  ~HastyExit() {
    stop_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

int Fail(Logger& log, const char* message, const absl::Status& status) {
  log.Error(message, {{"error", std::string(status.message())},
                      {"code", std::string(CodeName(status.code()))}});
  return ExitCodeOf(status);
}

// Before other threads start, so that they and their memory follow.
absl::Status PlaceOnProcessors(const ServerConfig& config, Logger& log) {
  if (config.numa_node >= 0) return BindToNumaNode(config.numa_node);
  if (const size_t nodes = NumaNodes().size(); nodes > 1) {
    log.Warning("spans several NUMA nodes: a server per node, each with numa-node, is faster",
                {{"nodes", static_cast<int64_t>(nodes)}});
  }
  return absl::OkStatus();
}

int Serve(const LoadedConfig& loaded, const EngineFactory& make_engine) {
  const ServerConfig& config = loaded.config;
  Logger log(LevelOf(config.log_level));
  if (const absl::Status placed = PlaceOnProcessors(config, log); !placed.ok()) {
    Fail(log, "numa-node cannot be used", placed);
    return kExitConfiguration;
  }
  for (const EffectiveSetting& one : loaded.effective) {
    if (one.origin == "default") continue;
    log.Debug(
        "setting",
        {{"name", std::string(one.setting->name)}, {"value", one.text}, {"origin", one.origin}});
  }
  Metrics metrics;
  std::unique_ptr<engine::Engine> engine;
  const absl::Status made = Guard([&]() -> absl::Status {
    HFWA_ASSIGN_OR_RETURN(engine, make_engine(config, &metrics));
    return absl::OkStatus();
  });
  if (!made.ok()) return Fail(log, "engine does not start", made);
  metrics.SetBuildInfo(kVersion, engine->model());
  auto server = Server::Start(config, engine.get(), &metrics, &log);
  if (!server.ok()) return Fail(log, "server does not start", server.status());
  if (WaitForSignal(absl::ZeroDuration()) != 0) return kExitOk;

  const std::string metrics_address = (*server)->metrics_address();
  std::printf("hfwa-server ready grpc=%s metrics=%s\n", (*server)->grpc_address().c_str(),
              metrics_address.empty() ? "off" : metrics_address.c_str());
  std::fflush(stdout);
  log.Info("ready", {{"version", std::string(kVersion)},
                     {"grpc", (*server)->grpc_address()},
                     {"metrics", metrics_address},
                     {"model", engine->model().name},
                     {"model_digest", engine->model().digest},
                     {"device", engine->model().device},
                     {"kernels", engine->model().kernels},
                     {"precision", engine->model().precision}});

  int signal = 0;
  while (signal == 0 && !(*server)->device_failed())
    signal = WaitForSignal(absl::Milliseconds(100));
  const absl::Duration start = Clock::Real().SteadyNow();
  const absl::Duration timeout =
      signal != 0 ? config.drain_timeout : std::min(config.drain_timeout, kFailedTimeout);
  (*server)->StopServing();
  if (signal == 0) log.Error("the device has failed, ending");
  log.Info("draining", {{"signal", int64_t{signal}}});
  {
    const HastyExit hasty(start + timeout, &log);
    // Load balancers learn of NOT_SERVING with some delay; what they send meanwhile is answered.
    if (signal != 0) absl::SleepFor(config.drain_grace);
    const absl::Duration spent = Clock::Real().SteadyNow() - start;
    (*server)->Stop(timeout - spent - kDrainReserve);
    server->reset();
    engine.reset();
  }
  log.Info("ended");
  return signal != 0 ? kExitOk : kExitInternal;
}

int Load(const TextValues& flags, LoadedConfig* loaded) {
  auto result = LoadConfig(flags, ProcessEnvironment());
  if (!result.ok()) {
    std::cerr << "hfwa-server: " << result.status().message() << "\n";
    return kExitConfiguration;
  }
  *loaded = *std::move(result);
  return kExitOk;
}

}  // namespace

ExitCode ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kUnimplemented:
      return kExitConfiguration;
    case absl::StatusCode::kDataLoss:
      return kExitData;
    // The store's schema is newer; the server's address is taken.
    case absl::StatusCode::kFailedPrecondition:
      return status.message().find("cannot listen") != absl::string_view::npos ? kExitCannotCreate
                                                                               : kExitData;
    case absl::StatusCode::kAlreadyExists:
      return kExitLocked;
    case absl::StatusCode::kPermissionDenied:
      return kExitCannotCreate;
    case absl::StatusCode::kUnavailable:
      return ReasonOf(status) == reason::kDeviceFailed ? kExitDevice : kExitIo;
    case absl::StatusCode::kResourceExhausted:
      return kExitIo;
    default:
      return kExitInternal;
  }
}

int RunServer(int argc, const char* const* argv, const EngineFactory& make_engine) {
  // Threads inherit the mask, so that signals wait for sigtimedwait.
  const sigset_t signals = EndSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  CaptureLibraryLogs();

  CLI::App app(
      "Judges pictures of parts over gRPC. Settings come from flags, HFWA_* variables, a TOML file "
      "and "
      "defaults, in this order.",
      "hfwa-server");
  app.set_version_flag("--version", std::string("hfwa-server ") + kVersion);
  app.get_formatter()->column_width(32);
  app.fallthrough();
  app.footer(
      "Examples:\n  hfwa-server --data /var/lib/hfwa --listen 127.0.0.1:0\n"
      "  HFWA_LOG_LEVEL=debug hfwa-server --config /etc/hfwa.toml config print");
  std::map<std::string, std::string> values;
  for (const Setting& setting : Settings()) {
    std::string help = absl::StrCat(
        setting.help, " Default: ", *setting.default_text == '\0' ? "none" : setting.default_text,
        ".");
    app.add_option_function<std::string>(
           absl::StrCat("--", setting.name),
           [&values, name = std::string(setting.name)](const std::string& text) {
             values[name] = text;
           },
           help)
        ->type_name(std::string(TypeName(setting.type)));
  }
  CLI::App* config_command = app.add_subcommand("config", "About the configuration.");
  config_command->require_subcommand(1);
  CLI::App* print_command =
      config_command->add_subcommand("print", "Prints every setting with its origin, as TOML.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? kExitOk : kExitUsage;
  }
  LoadedConfig loaded;
  if (const int code = Load(values, &loaded); code != kExitOk) return code;
  if (print_command->parsed()) {
    std::cout << PrintConfig(loaded);
    return kExitOk;
  }
  return Serve(loaded, make_engine);
}

}  // namespace hfwa::server
