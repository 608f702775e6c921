// The program itself, with the fake engine: arguments, ready line, signals, exit codes.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <vector>

#include "server/run.h"

namespace hfwa::server {
namespace {

using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

class Process {
 public:
  explicit Process(std::vector<std::string> arguments) {
    int out[2];
    int err[2];
    EXPECT_EQ(pipe(out), 0);
    EXPECT_EQ(pipe(err), 0);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(out[1], STDOUT_FILENO);
      dup2(err[1], STDERR_FILENO);
      for (const int fd : {out[0], out[1], err[0], err[1]}) close(fd);
      arguments.insert(arguments.begin(), HFWA_FAKE_SERVER);
      std::vector<char*> argv;
      argv.reserve(arguments.size() + 1);
      for (std::string& argument : arguments) argv.push_back(argument.data());
      argv.push_back(nullptr);
      execv(HFWA_FAKE_SERVER, argv.data());
      _exit(127);
    }
    close(out[1]);
    close(err[1]);
    out_ = out[0];
    err_ = err[0];
  }
  ~Process() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    close(out_);
    close(err_);
  }

  // Up to the end of a line; what came so far if none comes within 10 s.
  std::string Line() {
    std::string line;
    char c = 0;
    pollfd wait{out_, POLLIN, 0};
    while (poll(&wait, 1, 10'000) > 0 && read(out_, &c, 1) == 1 && c != '\n') line += c;
    return line;
  }
  // Only to a child that runs: kill(-1) would reach every process of the machine.
  void Signal(int signal) const {
    ASSERT_GT(pid_, 0);
    kill(pid_, signal);
  }
  // Reads the log until it holds `text`; false if it does not within 10 s.
  bool AwaitLog(const std::string& text) {
    char c = 0;
    pollfd wait{err_, POLLIN, 0};
    while (poll(&wait, 1, 10'000) > 0 && read(err_, &c, 1) == 1) {
      err_text_ += c;
      if (c == '\n' && err_text_.find(text) != std::string::npos) return true;
    }
    return false;
  }
  // Reads to the end and returns the exit code; the program's end closes the pipes.
  int Wait() {
    out_text_ = All(out_);
    err_text_ += All(err_);
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  const std::string& out() const { return out_text_; }
  const std::string& err() const { return err_text_; }

 private:
  static std::string All(int fd) {
    std::string text;
    char buffer[4096];
    for (ssize_t n = 0; (n = read(fd, buffer, sizeof(buffer))) > 0;)
      text.append(buffer, static_cast<size_t>(n));
    return text;
  }
  pid_t pid_ = -1;
  int out_ = -1;
  int err_ = -1;
  std::string out_text_;
  std::string err_text_;
};

std::vector<std::string> Serving(std::vector<std::string> more = {}) {
  std::vector<std::string> arguments = {"--listen", "127.0.0.1:0", "--metrics-listen",
                                        "127.0.0.1:0"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST(Process, says_ready_once_and_ends_orderly_on_sigterm) {
  Process server(Serving({"--drain-grace", "100ms"}));
  EXPECT_THAT(server.Line(),
              ::testing::MatchesRegex(
                  "hfwa-server ready grpc=127\\.0\\.0\\.1:[0-9]+ metrics=127\\.0\\.0\\.1:[0-9]+"));
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0) << server.err();
  EXPECT_EQ(server.out(), "");
  EXPECT_THAT(server.err(), HasSubstr("\"msg\":\"draining\""));
}

TEST(Process, a_second_signal_ends_it_within_a_second) {
  Process server(Serving({"--drain-grace", "20s", "--drain-timeout", "60s"}));
  server.Line();
  server.Signal(SIGTERM);
  ASSERT_TRUE(server.AwaitLog("\"msg\":\"draining\""));  // or both would count as one
  const auto start = Clock::now();
  server.Signal(SIGTERM);
  const int code = server.Wait();
  EXPECT_EQ(code, 128 + SIGTERM);
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(1));
}

TEST(Process, metrics_can_be_off) {
  Process server({"--listen", "127.0.0.1:0", "--metrics-listen", "", "--drain-grace", "0s"});
  EXPECT_THAT(server.Line(), HasSubstr("metrics=off"));
  server.Signal(SIGINT);
  EXPECT_EQ(server.Wait(), 0);
}

TEST(Process, exit_codes_say_what_was_wrong) {
  const auto code_of = [](std::vector<std::string> arguments) {
    return Process(std::move(arguments)).Wait();
  };
  EXPECT_EQ(code_of({"--no-such-flag"}), kExitUsage);
  EXPECT_EQ(code_of({"stray"}), kExitUsage);
  EXPECT_EQ(code_of({"config"}), kExitUsage);
  EXPECT_EQ(code_of({"--threads", "many"}), kExitConfiguration);
  EXPECT_EQ(code_of({"--numa-node", "1023"}), kExitConfiguration);
  EXPECT_EQ(code_of({"--config", "/no/such/file"}), kExitConfiguration);
  EXPECT_EQ(code_of(Serving({"--data", "locked"})), kExitLocked);
  EXPECT_EQ(code_of(Serving({"--data", "newer"})), kExitData);
  EXPECT_EQ(code_of(Serving({"--data", "damaged"})), kExitData);
  EXPECT_EQ(code_of(Serving({"--data", "io"})), kExitIo);
  EXPECT_EQ(code_of(Serving({"--data", "device"})), kExitDevice);
  EXPECT_EQ(code_of(Serving({"--data", "model"})), kExitConfiguration);
  EXPECT_EQ(code_of({"--listen", "192.0.2.1:1", "--metrics-listen", ""}), kExitCannotCreate);
}

TEST(Process, ends_within_five_seconds_once_the_device_has_failed) {
  for (const char* how : {"device-fails", "device-stuck"}) {
    // However long calls might otherwise be given.
    Process server(Serving({"--data", how, "--drain-grace", "20s", "--drain-timeout", "60s"}));
    EXPECT_THAT(server.Line(), HasSubstr("ready")) << how;
    ASSERT_TRUE(server.AwaitLog("health is NOT_SERVING")) << how;
    const auto start = Clock::now();
    EXPECT_EQ(server.Wait(), kExitInternal) << how;
    EXPECT_LT(Clock::now() - start, std::chrono::seconds(5)) << how;
    EXPECT_THAT(server.err(), HasSubstr("illegal memory access")) << how;
  }
}

TEST(Process, a_taken_port_is_not_shared) {
  Process first(Serving());
  const std::string line = first.Line();
  const size_t at = line.find("grpc=") + 5;
  Process second({"--listen", line.substr(at, line.find(' ', at) - at), "--metrics-listen", ""});
  EXPECT_EQ(second.Wait(), kExitCannotCreate);
  EXPECT_THAT(second.err(), HasSubstr("cannot listen"));
}

TEST(Process, help_version_and_config_print_end_well) {
  Process help({"--help"});
  EXPECT_EQ(help.Wait(), 0);
  EXPECT_THAT(help.out(), HasSubstr("--drain-timeout"));
  Process version({"--version"});
  EXPECT_EQ(version.Wait(), 0);
  EXPECT_THAT(version.out(), HasSubstr("hfwa-server 0."));
  Process print({"config", "print", "--threads", "3"});
  EXPECT_EQ(print.Wait(), 0);
  EXPECT_THAT(print.out(), HasSubstr("threads = 3  # flag --threads\n"));
}

}  // namespace
}  // namespace hfwa::server
