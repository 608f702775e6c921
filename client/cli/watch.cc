#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <ostream>
#include <stop_token>
#include <system_error>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/files.h"
#include "client/cli/judge.h"
#include "client/cli/text.h"

namespace hfwa::cli {
namespace {

namespace fs = std::filesystem;
constexpr size_t kNameWidth = 40;

struct WatchArguments {
  std::string product;
  std::string folder;
  std::string out;
  double once_idle = 0;
  bool existing = false;
  bool exit_code = false;
};

struct FolderEvents {
  std::vector<fs::path> files;  // Complete: closed after writing, or moved in.
  bool lost = false;            // The kernel's queue ran over.
  bool gone = false;            // The folder itself was deleted or moved.
};

// What is new in a folder, by inotify. Not recursive.
class FolderWatch {
 public:
  FolderWatch()
      : inotify_(inotify_init1(IN_CLOEXEC | IN_NONBLOCK)), wake_(eventfd(0, EFD_CLOEXEC)) {}
  ~FolderWatch() {
    if (inotify_ >= 0) close(inotify_);
    if (wake_ >= 0) close(wake_);
  }
  FolderWatch(const FolderWatch&) = delete;
  FolderWatch& operator=(const FolderWatch&) = delete;

  absl::Status Start(const fs::path& folder) {
    folder_ = folder;
    constexpr uint32_t kMask =
        IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
    if (inotify_ < 0 || wake_ < 0 || inotify_add_watch(inotify_, folder.c_str(), kMask) < 0) {
      return absl::ErrnoToStatus(errno, "cannot watch this folder");
    }
    return absl::OkStatus();
  }

  // Ends a Wait now or to come. Any thread.
  void Wake() {
    const uint64_t one = 1;
    (void)!write(wake_, &one, sizeof(one));
  }

  // Waits for events, a Wake or `timeout` (negative: for ever).
  FolderEvents Wait(int timeout_ms) {
    std::array<pollfd, 2> fds{{{inotify_, POLLIN, 0}, {wake_, POLLIN, 0}}};
    FolderEvents events;
    if (poll(fds.data(), fds.size(), timeout_ms) <= 0) return events;
    alignas(inotify_event) std::array<char, 16384> buffer;
    const ssize_t size = read(inotify_, buffer.data(), buffer.size());
    for (ssize_t at = 0; at < size;) {
      inotify_event event;
      std::memcpy(&event, buffer.data() + at, sizeof(event));
      const char* name = buffer.data() + at + sizeof(event);
      at += static_cast<ssize_t>(sizeof(event) + event.len);
      events.lost |= (event.mask & IN_Q_OVERFLOW) != 0;
      events.gone |= (event.mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) != 0;
      if (event.len == 0 || (event.mask & IN_ISDIR) != 0 || name[0] == '.') continue;
      if (HasImageExtension(name)) events.files.push_back(folder_ / name);
    }
    return events;
  }

 private:
  fs::path folder_;
  const int inotify_;
  const int wake_;
};

// Judges what arrives until interrupted, idle for long enough or the folder is gone.
void Follow(const Context& context, const WatchArguments& arguments, FolderWatch& watch,
            Judge& judge) {
  constexpr int kIdlePollMs = 50;
  const absl::Duration idle_limit = absl::Seconds(arguments.once_idle);
  absl::Time last_file = absl::Now();
  while (!context.interrupt.stop_requested()) {
    const bool limited = arguments.once_idle > 0;
    const FolderEvents events = watch.Wait(limited ? kIdlePollMs : -1);
    for (const fs::path& file : events.files) {
      if (context.interrupt.stop_requested()) return;
      judge.Submit(file);
    }
    if (events.lost) {
      context.terminal.err
          << "hfwa: files came faster than they could be judged; some were missed\n";
    }
    if (events.gone) {
      context.terminal.err << "hfwa: the folder is gone\n";
      return;
    }
    if (!events.files.empty() || judge.Outstanding() > 0) last_file = absl::Now();
    if (limited && absl::Now() - last_file >= idle_limit) return;
  }
}

int Watch(Context& context, const WatchArguments& arguments) {
  auto client = context.Connect();
  if (!client.ok()) return context.Fail("watch", client.status());
  const int prepared = PrepareJudging(context, *client, arguments.product, arguments.out);
  if (prepared != kOk) return prepared;
  std::error_code error;
  if (!arguments.out.empty() && fs::equivalent(arguments.folder, arguments.out, error)) {
    context.terminal.err << "hfwa: --out must be another folder than the one that is watched\n";
    return kUsage;
  }
  FolderWatch watch;
  const absl::Status started = watch.Start(arguments.folder);
  if (!started.ok()) return context.Fail(arguments.folder, started);
  std::stop_callback wake(context.interrupt, [&watch] { watch.Wake(); });

  JudgeOptions options;
  options.product = arguments.product;
  options.out = arguments.out;
  options.in_order = false;
  options.name_width = kNameWidth;
  options.exit_code = arguments.exit_code;
  if (!context.json) {
    context.terminal.err << "hfwa: watching " << Printable(arguments.folder) << "; Ctrl-C ends\n"
                         << std::flush;
  }
  Judge judge(context, *client, options);
  if (arguments.existing) {
    // A folder that is still empty is no error here.
    const auto present = CollectImages({arguments.folder});
    for (const fs::path& file : present.value_or(std::vector<fs::path>())) {
      if (fs::equivalent(file.parent_path(), arguments.folder, error)) {
        judge.Submit(file);
      }
    }
  }
  Follow(context, arguments, watch, judge);
  return judge.Finish();
}

}  // namespace

void AddWatchCommand(CLI::App& parent, Context& context, Action& action) {
  auto arguments = std::make_shared<WatchArguments>();
  CLI::App* app =
      parent.add_subcommand("watch", "Judge pictures as they appear in a folder (not below it)");
  app->add_option("PRODUCT", arguments->product, "The product they are compared with")->required();
  app->add_option("FOLDER", arguments->folder, "Where a camera writes its files")->required();
  app->add_option("--out", arguments->out, "Folder for heatmaps and overlays, as in detect")
      ->type_name("DIR");
  app->add_option("--once-idle", arguments->once_idle, "End when nothing came for so long")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.001, 1e6));
  app->add_flag("--existing", arguments->existing, "Judge what is there already, too");
  app->add_flag("--exit-code,--threshold-exit-code", arguments->exit_code,
                "Exit with 1 if a part was anomalous");
  app->footer(
      "Ctrl-C is the usual end: the exit code is as if all files had been given to detect.\n"
      "Example:\n  hfwa watch bolt /srv/camera --out /srv/heatmaps --json >> verdicts.jsonl");
  AddGlobalOptions(*app, context);
  app->callback([&context, &action, arguments] {
    action = [&context, arguments] { return Watch(context, *arguments); };
  });
}

}  // namespace hfwa::cli
