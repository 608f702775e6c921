#include <algorithm>
#include <filesystem>
#include <memory>
#include <ostream>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/files.h"
#include "client/cli/judge.h"
#include "client/cli/text.h"

namespace hfwa::cli {
namespace {

constexpr size_t kMaxNameWidth = 60;

struct DetectArguments {
  std::string product;
  std::vector<std::string> paths;
  std::string out;
  bool exit_code = false;
  bool bulk = false;
};

int Detect(Context& context, const DetectArguments& arguments) {
  auto client = context.Connect();
  if (!client.ok()) return context.Fail("detect", client.status());
  const auto files = CollectImages(arguments.paths);
  if (!files.ok()) return context.Fail("detect", files.status());
  const int prepared = PrepareJudging(context, *client, arguments.product, arguments.out);
  if (prepared != kOk) return prepared;

  JudgeOptions options;
  options.product = arguments.product;
  options.out = arguments.out;
  options.total = files->size();
  options.exit_code = arguments.exit_code;
  options.bulk = arguments.bulk;
  options.name_width = 4;
  for (const auto& file : *files) {
    options.name_width = std::max(options.name_width, Columns(Printable(file.string())));
  }
  options.name_width = std::min(options.name_width, kMaxNameWidth);
  Judge judge(context, *client, options);
  for (const auto& file : *files) {
    if (context.interrupt.stop_requested()) break;
    judge.Submit(file);
  }
  const int code = judge.Finish();
  return context.interrupt.stop_requested() ? kInterrupted : code;
}

}  // namespace

int PrepareJudging(const Context& context, client::Client& client, const std::string& product,
                   const std::string& out) {
  if (!out.empty()) {
    std::error_code error;
    std::filesystem::create_directories(out, error);
    if (error)
      return context.Fail(out, absl::ErrnoToStatus(error.value(), "cannot make the folder"));
  }
  const auto found = client.GetProduct(product, context.Call());
  return found.ok() ? kOk : context.Fail(product, found.status());
}

void AddDetectCommand(CLI::App& parent, Context& context, Action& action) {
  auto arguments = std::make_shared<DetectArguments>();
  CLI::App* app = parent.add_subcommand("detect", "Judge pictures of parts");
  app->add_option("PRODUCT", arguments->product, "The product they are compared with")->required();
  app->add_option("FILES", arguments->paths, "Image files, and folders of them")->required();
  app->add_option("--out", arguments->out,
                  "Folder for NAME.heatmap.png, and NAME.overlay.png for JPEG and PNG")
      ->type_name("DIR");
  app->add_flag("--exit-code,--threshold-exit-code", arguments->exit_code,
                "Exit with 1 if a part is anomalous");
  app->add_flag("--bulk", arguments->bulk, "Let the requests that lines wait for go first");
  app->footer(
      "Examples:\n  hfwa detect bolt part.jpg\n  hfwa detect bolt pictures/ --out heatmaps/\n"
      "  hfwa detect bolt pictures/ --json | jq 'select(.verdict == \"ANOMALOUS\").file'");
  AddGlobalOptions(*app, context);
  app->callback([&context, &action, arguments] {
    action = [&context, arguments] { return Detect(context, *arguments); };
  });
}

}  // namespace hfwa::cli
