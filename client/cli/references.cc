#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/files.h"
#include "client/cli/show.h"
#include "client/cli/text.h"
#include "client/error.h"
#include "google/rpc/status.pb.h"

namespace hfwa::cli {
namespace {

using Result = v1::AddReferencesResponse::Result;

struct ReferenceArguments {
  std::string product;
  std::vector<std::string> paths;
  std::string reference;
  std::string out;
  bool thumbnail = false;
};

std::string Id(const std::string& name) { return name.substr(name.rfind('/') + 1); }

// "r12ab" of product "bolt", or a whole resource name.
std::string ReferenceName(const ReferenceArguments& arguments) {
  if (arguments.reference.find('/') != std::string::npos) return arguments.reference;
  return absl::StrCat(client::ProductName(arguments.product), "/references/", arguments.reference);
}

int PrintAdded(const Context& context, const std::vector<client::ReferenceSource>& sources,
               const v1::AddReferencesResponse& response) {
  std::vector<std::vector<std::string>> rows{{"FILE", "OUTCOME", "REFERENCE"}};
  bool refused = false;
  for (const Result& result : response.results()) {
    refused |= result.outcome() != Result::ADDED && result.outcome() != Result::DUPLICATE;
    if (context.json) {
      context.terminal.out << ToJson(result) << "\n";
      continue;
    }
    const std::string file = sources[static_cast<size_t>(result.index())].file.string();
    rows.push_back({file, Result::Outcome_Name(result.outcome()),
                    result.outcome() == Result::REFUSED ? Explain(client::ToStatus(result.error()))
                                                        : Id(result.reference().name())});
  }
  if (!context.json) {
    context.terminal.out << FormatTable(rows);
    if (response.has_product()) {
      const v1::Product& product = response.product();
      context.terminal.out << Printable(Id(product.name())) << ": " << product.reference_count()
                           << " references, threshold "
                           << ShowThreshold(product.has_effective_threshold(),
                                            product.effective_threshold())
                           << ", revision " << Printable(Id(product.revision())) << "\n";
    }
  }
  return refused ? kFailed : kOk;
}

int Add(Context& context, const ReferenceArguments& arguments) {
  auto client = context.Connect();
  if (!client.ok()) return context.Fail("reference add", client.status());
  const auto files = CollectImages(arguments.paths);
  if (!files.ok()) return context.Fail("reference add", files.status());
  std::vector<client::ReferenceSource> sources;
  for (const auto& file : *files) sources.push_back({file, {}, ""});
  const bool progress = context.ShowsProgress();
  const auto response = client->AddReferences(
      arguments.product, sources,
      [&](size_t sent, size_t total) {
        if (!progress) return;
        context.terminal.err << "\r\033[K" << sent << "/" << total
                             << (sent == total ? " sent, registering" : " sent") << std::flush;
      },
      context.Call());
  if (progress) context.terminal.err << "\r\033[K" << std::flush;
  if (!response.ok()) return context.Fail(arguments.product, response.status());
  return PrintAdded(context, sources, *response);
}

int List(Context& context, const ReferenceArguments& arguments) {
  auto client = context.Connect();
  if (!client.ok()) return context.Fail("reference list", client.status());
  const auto references = client->ListReferences(arguments.product, context.Call());
  if (!references.ok()) return context.Fail(arguments.product, references.status());
  std::vector<std::vector<std::string>> rows{
      {"REFERENCE", "SIZE", "TYPE", "BYTES", "ADDED", "FILE"}};
  for (const v1::Reference& reference : *references) {
    if (context.json) context.terminal.out << ToJson(reference) << "\n";
    rows.push_back({Id(reference.name()), absl::StrCat(reference.width(), "x", reference.height()),
                    reference.media_type(), absl::StrCat(reference.size_bytes()),
                    ShowTime(reference.create_time()), reference.source_name()});
  }
  if (!context.json) context.terminal.out << FormatTable(rows);
  return kOk;
}

int Get(Context& context, const ReferenceArguments& arguments) {
  auto client = context.Connect();
  if (!client.ok()) return context.Fail("reference get", client.status());
  const auto view = arguments.out.empty() ? v1::GetReferenceRequest::BASIC
                    : arguments.thumbnail ? v1::GetReferenceRequest::THUMBNAIL
                                          : v1::GetReferenceRequest::FULL;
  auto reference = client->GetReference(ReferenceName(arguments), view, context.Call());
  if (!reference.ok()) return context.Fail(arguments.reference, reference.status());
  if (!arguments.out.empty()) {
    const absl::Status written = WriteFile(arguments.out, reference->content());
    if (!written.ok()) return context.Fail(arguments.out, written);
    reference->clear_content();
  }
  if (context.json) {
    context.terminal.out << ToJson(*reference) << "\n";
    return kOk;
  }
  context.terminal.out << FormatTable(
      {{"reference", Id(reference->name())},
       {"sha256", reference->sha256()},
       {"size", absl::StrCat(reference->width(), "x", reference->height())},
       {"type", reference->media_type()},
       {"bytes", absl::StrCat(reference->size_bytes())},
       {"added", ShowTime(reference->create_time())},
       {"file", reference->source_name()}});
  return kOk;
}

int Delete(Context& context, const ReferenceArguments& arguments) {
  auto client = context.Connect();
  if (!client.ok()) return context.Fail("reference delete", client.status());
  const absl::Status status = client->DeleteReference(ReferenceName(arguments), context.Call());
  return status.ok() ? kOk : context.Fail(arguments.reference, status);
}

}  // namespace

void AddReferenceCommands(CLI::App& parent, Context& context, Action& action) {
  CLI::App* reference = parent.add_subcommand("reference", "The good parts of a product");
  reference->require_subcommand(1);
  auto arguments = std::make_shared<ReferenceArguments>();
  using Run = int (*)(Context&, const ReferenceArguments&);
  const auto add = [&](const char* name, const char* about, Run run) {
    CLI::App* app = reference->add_subcommand(name, about);
    app->add_option("PRODUCT", arguments->product, "The product")->required();
    AddGlobalOptions(*app, context);
    app->callback([&context, &action, arguments, run] {
      action = [&context, arguments, run] { return run(context, *arguments); };
    });
    return app;
  };
  CLI::App* adding = add("add", "Register pictures of good parts", Add);
  adding->add_option("FILES", arguments->paths, "Image files, and folders of them")->required();
  adding->footer("Example:\n  hfwa reference add bolt good1.png good2.png more-good-ones/");
  add("list", "List a product's references", List);
  CLI::App* get = add("get", "Show a reference, or fetch its picture", Get);
  get->add_option("REFERENCE", arguments->reference, "Its id, as list shows it")->required();
  get->add_option("--out", arguments->out, "Write the picture here")->type_name("FILE");
  get->add_flag("--thumbnail", arguments->thumbnail, "A small JPEG in place of the picture")
      ->needs("--out");
  CLI::App* remove = add("delete", "Take a reference out of its product", Delete);
  remove->add_option("REFERENCE", arguments->reference, "Its id, as list shows it")->required();
}

}  // namespace hfwa::cli
