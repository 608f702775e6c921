#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <ostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/bench/load_generator.h"
#include "client/bench/pacer.h"
#include "client/bench/rate_search.h"
#include "client/bench/report.h"
#include "client/bench/report_html.h"
#include "client/bench/report_json.h"
#include "client/cli/bench_table.h"
#include "client/cli/commands.h"
#include "client/cli/detect_caller.h"
#include "client/cli/files.h"
#include "client/cli/synthetic.h"
#include "client/cli/text.h"
#include "core/base/status_macros.h"

namespace hfwa::cli {
namespace {

// Pictures are all held in memory.
constexpr size_t kMaxPictureBytes = size_t{4} << 30;
// A search begins here unless told otherwise, and ends when it knows the rate so well.
constexpr double kFirstRate = 8;
constexpr double kRateGap = 0.05;

struct BenchArguments {
  std::string products;  // As given, with commas between; `synthetic` too.
  std::vector<std::string> paths;
  std::string synthetic;
  std::string synthetic_format = "jpeg";
  std::string arrivals = "poisson";
  std::string heatmap = "none";
  std::string plot;
  size_t connections = 8;
  bool cold = false;
  bool find_goodput = false;
  absl::Duration p99_target;  // 0: none.
  bench::LoadOptions load;
};

// Empty if the options go together, else what is wrong with them.
std::string Contradiction(const BenchArguments& arguments) {
  const bench::LoadOptions& load = arguments.load;
  if (arguments.paths.empty() == arguments.synthetic.empty()) {
    return "give either FILES or --synthetic";
  }
  if (load.rate > 0 && load.concurrency > 0) return "give either --rate or --concurrency";
  if (arguments.find_goodput) {
    if (load.concurrency > 0) return "--find-goodput is for open loops: leave out --concurrency";
    return arguments.p99_target == absl::ZeroDuration() ? "--find-goodput needs --p99-target" : "";
  }
  return load.rate > 0 || load.concurrency > 0 ? "" : "give --rate or --concurrency";
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return absl::ToDoubleSeconds(absl::DurationFromTimeval(usage.ru_utime) +
                               absl::DurationFromTimeval(usage.ru_stime));
}

int Cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  const int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 0;
  return count > 0 ? count : static_cast<int>(std::thread::hardware_concurrency());
}

absl::StatusOr<std::vector<v1::Image>> ReadPictures(const std::vector<std::string>& paths) {
  HFWA_ASSIGN_OR_RETURN(const auto files, CollectImages(paths));
  std::vector<v1::Image> pictures;
  size_t bytes = 0;
  for (const auto& file : files) {
    HFWA_ASSIGN_OR_RETURN(v1::Image picture, client::ImageFromFile(file));
    bytes += picture.content().size();
    if (bytes > kMaxPictureBytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the pictures are larger than ", kMaxPictureBytes >> 30, " GiB together"));
    }
    pictures.push_back(std::move(picture));
  }
  return pictures;
}

// Shows how a run goes, twice a second, while it is alive.
class ProgressLine {
 public:
  ProgressLine(const Context& context, const bench::LoadGenerator& generator)
      : context_(context), generator_(generator) {
    if (context.ShowsProgress()) {
      thread_ = std::jthread([this](const std::stop_token& stop) { Show(stop); });
    }
  }

 private:
  void Show(const std::stop_token& stop) {
    std::mutex mu;
    std::condition_variable_any stopped;
    std::unique_lock<std::mutex> lock(mu);
    std::ostream& err = context_.terminal.err;
    while (!stopped.wait_for(lock, stop, std::chrono::milliseconds(500),
                             [&] { return stop.stop_requested(); })) {
      const bench::Progress now = generator_.progress();
      err << "\r\033[K" << absl::ToInt64Seconds(now.elapsed) << " s: " << now.sent << " sent, "
          << now.ok << " ok, " << now.failed << " failed, " << now.sent - now.ok - now.failed
          << " outstanding";
      if (now.not_sent > 0) err << ", " << now.not_sent << " NOT SENT";
      err << std::flush;
    }
    err << "\r\033[K" << std::flush;
  }

  const Context& context_;
  const bench::LoadGenerator& generator_;
  std::jthread thread_;  // Last: it uses the rest.
};

// The runs of one command.
class Bench {
 public:
  Bench(const Context& context, const BenchArguments& arguments)
      : context_(context),
        arguments_(arguments),
        products_(absl::StrSplit(arguments.products, ',', absl::SkipEmpty())),
        load_(arguments.load) {}

  // Reads, asks the server and connects. What must be done before time counts.
  absl::Status Prepare() {
    HFWA_ASSIGN_OR_RETURN(auto pictures, Pictures());
    HFWA_ASSIGN_OR_RETURN(client::ClientOptions options, context_.ConnectOptions());
    options.retry.max_retries = 0;
    HFWA_ASSIGN_OR_RETURN(client::Client client, client::Client::Connect(options));
    HFWA_ASSIGN_OR_RETURN(const v1::Model model, client.GetModel(context_.Call()));
    if (products_.empty()) return absl::InvalidArgumentError("no product is named");
    for (const std::string& product : products_) {
      HFWA_RETURN_IF_ERROR(client.GetProduct(product, context_.Call()).status());
    }
    load_.deadline = options.default_deadline;
    load_.products = products_.size();
    load_.pictures = pictures.size();
    v1::DetectOutputs outputs;
    outputs.set_map(arguments_.heatmap != "none");
    outputs.set_map_format(arguments_.heatmap == "float" ? v1::FLOAT32 : v1::PNG_COLOR);
    HFWA_ASSIGN_OR_RETURN(
        caller_, DetectCaller::Connect(options, arguments_.connections, load_.deadline, outputs,
                                       products_, std::move(pictures)));
    subject_ = {.server = context_.server,
                .model = model.display_name(),
                .model_digest = model.digest(),
                .device = model.device(),
                .precision = model.precision(),
                .client_version = HFWA_VERSION,
                .products = products_,
                .pictures = load_.pictures,
                .picture_bytes = caller_->picture_bytes(),
                .heatmap = arguments_.heatmap,
                .connections = arguments_.connections,
                .started = absl::Now()};
    return absl::OkStatus();
  }

  bench::Report Measure() {
    std::vector<bench::ColdCall> cold;
    if (arguments_.cold) {
      cold = bench::CallEachProductOnce(load_, pacer_, *caller_, context_.interrupt);
    }
    bench::Report report = arguments_.find_goodput ? Search() : RunOnce(load_.rate);
    report.cold = std::move(cold);
    return report;
  }

 private:
  absl::StatusOr<std::vector<v1::Image>> Pictures() const {
    return arguments_.synthetic.empty()
               ? ReadPictures(arguments_.paths)
               : SyntheticPictures(absl::StrSplit(arguments_.synthetic, ','),
                                   arguments_.synthetic_format, load_.seed);
  }

  bench::Report RunOnce(double rate) {
    bench::LoadOptions load = load_;
    load.rate = rate;
    bench::LoadGenerator generator(load, pacer_, *caller_, CpuSeconds);
    const ProgressLine progress(context_, generator);
    std::optional<double> target;
    if (arguments_.p99_target > absl::ZeroDuration()) {
      target = absl::ToDoubleMilliseconds(arguments_.p99_target);
    }
    return bench::MakeReport(generator.Run(context_.interrupt), load, subject_, Cores(), target);
  }

  // The report of the best run, or of the last where none was good.
  bench::Report Search() {
    // So few requests would say nothing.
    const double least = 10 / absl::ToDoubleSeconds(load_.duration);
    const double first = std::max(load_.rate > 0 ? load_.rate : kFirstRate, least);
    bench::RateSearch search(first, least, kRateGap);
    std::vector<bench::Probe> probes;
    std::optional<bench::Report> best;
    while (const std::optional<double> rate = search.Next()) {
      bench::Report report = RunOnce(*rate);
      if (context_.interrupt.stop_requested() && !probes.empty()) break;
      const bench::Probe probe = bench::Judge(report);
      if (!context_.json) context_.terminal.err << ProbeLine(probe) << std::flush;
      probes.push_back(probe);
      search.Report(probe.passed);
      if (probe.passed || !search.best().has_value()) best = std::move(report);
      if (context_.interrupt.stop_requested()) break;
    }
    if (context_.interrupt.stop_requested()) {
      best->warnings.push_back("interrupted before the search had ended");
    }
    best->probes = std::move(probes);
    best->best_rate = search.best();
    return *std::move(best);
  }

  const Context& context_;
  const BenchArguments& arguments_;
  const std::vector<std::string> products_;
  bench::LoadOptions load_;
  bench::Subject subject_;
  bench::RealPacer pacer_;
  std::unique_ptr<DetectCaller> caller_;
};

int ExitCode(const Context& context, const bench::Report& report) {
  if (context.interrupt.stop_requested()) return kInterrupted;
  if (report.invalid.empty()) return kOk;
  const auto unavailable = [](const auto& failure) { return failure.code == "UNAVAILABLE"; };
  return report.ok == 0 && report.failed > 0 &&
                 std::all_of(report.failures.begin(), report.failures.end(), unavailable)
             ? kUnavailable
             : kFailed;
}

int RunBench(const Context& context, BenchArguments& arguments) {
  if (const std::string wrong = Contradiction(arguments); !wrong.empty()) {
    context.terminal.err << "hfwa: bench: " << wrong << "\n";
    return kUsage;
  }
  arguments.load.arrivals = arguments.arrivals == "poisson" ? bench::ArrivalKind::kPoisson
                                                            : bench::ArrivalKind::kConstant;
  Bench bench(context, arguments);
  if (const absl::Status ready = bench.Prepare(); !ready.ok()) return context.Fail("bench", ready);
  const bench::Report report = bench.Measure();
  context.terminal.out << (context.json ? bench::ToJson(report) + "\n" : BenchTable(report))
                       << std::flush;
  for (const std::string& reason : report.invalid) {
    if (context.json) context.terminal.err << "hfwa: bench: not valid: " << reason << "\n";
  }
  if (!arguments.plot.empty()) {
    const absl::Status written = WriteFile(arguments.plot, bench::ToHtml(report));
    if (!written.ok()) return context.Fail(arguments.plot, written);
  }
  return ExitCode(context, report);
}

// An option that takes a time.
CLI::Option* AddTime(CLI::App& app, const std::string& name, absl::Duration& time,
                     absl::Duration least, const std::string& about) {
  return app
      .add_option_function<std::string>(
          name,
          [name, &time, least](const std::string& text) {
            const auto parsed = ParseTime(name, text, least);
            if (!parsed.ok()) throw CLI::ValidationError(std::string(parsed.status().message()));
            time = *parsed;
          },
          about)
      ->type_name("TIME");
}

void AddLoadOptions(CLI::App& app, BenchArguments& arguments) {
  constexpr char kGroup[] = "Load";
  bench::LoadOptions& load = arguments.load;
  app.add_option("--rate", load.rate, "Open loop: images a second, whatever becomes of them")
      ->check(CLI::Range(0.001, 1e6))
      ->group(kGroup);
  app.add_option("--arrivals", arguments.arrivals, "Gaps of the open loop: poisson or constant")
      ->check(CLI::IsMember({"poisson", "constant"}))
      ->group(kGroup);
  app.add_option("--max-outstanding", load.max_outstanding,
                 "Open loop: what would be one more is not sent, and the run not valid")
      ->check(CLI::Range(1, 10'000'000))
      ->group(kGroup);
  app.add_option("--concurrency", load.concurrency, "Closed loop: so many images at all times")
      ->check(CLI::Range(1, 100'000))
      ->group(kGroup);
  app.add_flag("--find-goodput", arguments.find_goodput,
               "Search the largest rate, beginning with --rate, that --p99-target bears")
      ->group(kGroup);
  AddTime(app, "--p99-target", arguments.p99_target, absl::Nanoseconds(1),
          "What the p99 of OK replies shall be")
      ->group(kGroup);
  AddTime(app, "--duration", load.duration, absl::Milliseconds(1), "What is measured; default 30s")
      ->group(kGroup);
  AddTime(app, "--warmup", load.warmup, absl::ZeroDuration(), "Before that; default 5s")
      ->group(kGroup);
  app.add_option("--connections", arguments.connections, "TCP connections; default 8")
      ->check(CLI::Range(1, 1000))
      ->group(kGroup);
  app.add_option("--seed", load.seed, "Of arrivals, of what is drawn and of made-up pictures")
      ->group(kGroup);
}

}  // namespace

void AddBenchCommand(CLI::App& parent, Context& context, Action& action) {
  auto arguments = std::make_shared<BenchArguments>();
  CLI::App* app = parent.add_subcommand("bench", "Measure a server under load");
  app->add_option("PRODUCTS", arguments->products, "Products, as in bolt,nut; drawn for each image")
      ->required();
  app->add_option("FILES", arguments->paths, "Image files, and folders of them; drawn too");
  app->add_option("--synthetic", arguments->synthetic, "Made-up pictures instead, as in 640x480")
      ->type_name("WxH,...");
  app->add_option("--synthetic-format", arguments->synthetic_format, "jpeg, png or raw")
      ->check(CLI::IsMember({"jpeg", "png", "raw"}));
  app->add_option("--heatmap", arguments->heatmap, "What is asked for: none, png or float")
      ->check(CLI::IsMember({"none", "png", "float"}));
  app->add_option("--timeout", context.deadline, "The same as --deadline")->type_name("TIME");
  app->add_flag("--cold", arguments->cold,
                "First one request a product, one after the other, reported by themselves");
  app->add_option("--plot", arguments->plot, "Write the report as an HTML page with plots")
      ->type_name("FILE");
  AddLoadOptions(*app, *arguments);
  app->footer(
      "An open loop needs --rate, a closed one --concurrency. Ctrl-C ends early and reports.\n"
      "Examples:\n  hfwa bench bolt,nut pictures/ --rate 20 --plot report.html\n"
      "  hfwa bench bolt --synthetic 640x480,2048x1536 --concurrency 8 --json\n"
      "  hfwa bench bolt pictures/ --find-goodput --p99-target 200ms");
  AddGlobalOptions(*app, context);
  app->callback([&context, &action, arguments] {
    action = [&context, arguments] { return RunBench(context, *arguments); };
  });
}

}  // namespace hfwa::cli
