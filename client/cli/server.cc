#include <memory>
#include <ostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/commands.h"
#include "client/cli/show.h"
#include "client/cli/text.h"

namespace hfwa::cli {
namespace {

int ShowModel(Context& context) {
  auto client = context.Connect();
  if (!client.ok()) return context.Fail("model show", client.status());
  const auto model = client->GetModel(context.Call());
  if (!model.ok()) return context.Fail("model show", model.status());
  if (context.json) {
    context.terminal.out << ToJson(*model) << "\n";
    return kOk;
  }
  context.terminal.out << FormatTable(
      {{"model", model->display_name()},
       {"digest", model->digest()},
       {"device", model->device()},
       {"precision", model->precision()},
       {"language side", model->has_language() ? "yes" : "no: products need references"},
       {"input",
        absl::StrCat(model->image_size(), " pixels, ", model->grid_size(), " patches a side")},
       {"class names", absl::StrJoin(model->class_names(), ", ")}});
  return kOk;
}

int ShowHealth(Context& context) {
  auto client = context.Connect();
  if (!client.ok()) return context.Fail("health", client.status());
  const auto serving = client->IsServing("", context.Call());
  if (!serving.ok()) return context.Fail("health", serving.status());
  const char* word = *serving ? "SERVING" : "NOT_SERVING";
  context.terminal.out << (context.json ? absl::StrCat("{\"status\":\"", word, "\"}") : word)
                       << "\n";
  return *serving ? kOk : kUnavailable;
}

}  // namespace

void AddModelAndHealthCommands(CLI::App& parent, Context& context, Action& action) {
  CLI::App* model = parent.add_subcommand("model", "The model that the server hosts");
  model->require_subcommand(1);
  CLI::App* show = model->add_subcommand("show", "Show it");
  AddGlobalOptions(*show, context);
  show->callback([&context, &action] { action = [&context] { return ShowModel(context); }; });
  CLI::App* health =
      parent.add_subcommand("health", "Whether the server is ready; exits 69 if not");
  AddGlobalOptions(*health, context);
  health->callback([&context, &action] { action = [&context] { return ShowHealth(context); }; });
}

}  // namespace hfwa::cli
