// The program `hfwa`; all of it but signals and terminals is in run.cc.

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "client/cli/run.h"

namespace {

bool IsTerminal(int fd) {
  const char* term = std::getenv("TERM");
  return isatty(fd) == 1 && (term == nullptr || std::string(term) != "dumb");
}

// The first Ctrl-C (or SIGTERM) asks for an end, the second ends.
void HandleSignals(const std::stop_source& interrupt) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  // Before any thread starts, so that all inherit it and the signals reach this one.
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::thread([signals, interrupt] {
    int signal = 0;
    sigwait(&signals, &signal);
    interrupt.request_stop();
    sigwait(&signals, &signal);
    _exit(hfwa::cli::kInterrupted);
  }).detach();
}

}  // namespace

int main(int argc, char** argv) {
  std::stop_source interrupt;
  HandleSignals(interrupt);
  const char* no_color = std::getenv("NO_COLOR");
  hfwa::cli::Terminal terminal{
      .out = std::cout,
      .err = std::cerr,
      .color = IsTerminal(STDOUT_FILENO) && (no_color == nullptr || *no_color == '\0'),
      .progress = IsTerminal(STDERR_FILENO)};
  const int code = hfwa::cli::Run(std::vector<std::string>(argv + 1, argv + argc), terminal,
                                  interrupt.get_token());
  std::cout << std::flush;
  return code == hfwa::cli::kOk && !std::cout ? hfwa::cli::kFailed : code;
}
