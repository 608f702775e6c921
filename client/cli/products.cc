#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/show.h"
#include "client/cli/text.h"

namespace hfwa::cli {
namespace {

struct ProductArguments {
  std::string id;
  std::string display_name;
  std::string class_name;
  std::vector<std::string> labels;
  std::optional<double> threshold;
  bool auto_threshold = false;
  std::optional<double> coreset_ratio;
  std::optional<v1::Product::Method> method;
  bool yes = false;
};

std::string Id(const std::string& name) { return name.substr(name.rfind('/') + 1); }

// What --method takes.
const std::map<std::string, v1::Product::Method>& Methods() {
  static const std::map<std::string, v1::Product::Method> methods{
      {"hfwa", v1::Product::HFWA}, {"anomaly-dino", v1::Product::ANOMALY_DINO}};
  return methods;
}

// A number where a later server knows more than this program.
std::string ShowMethod(v1::Product::Method method) {
  for (const auto& [name, known] : Methods()) {
    if (known == method) return name;
  }
  return absl::StrCat(static_cast<int>(method));
}

std::string State(const v1::Product& product) {
  return v1::Product::CalibrationState_Name(product.calibration_state());
}

void Show(const Context& context, const v1::Product& product) {
  if (context.json) {
    context.terminal.out << ToJson(product) << "\n";
    return;
  }
  std::vector<std::vector<std::string>> rows{
      {"product", Id(product.name())},
      {"display name", product.display_name()},
      {"class name", product.class_name()},
      {"references", absl::StrCat(product.reference_count())},
      {"threshold",
       absl::StrCat(ShowThreshold(product.has_effective_threshold(), product.effective_threshold()),
                    " (", State(product), ")")},
      {"coreset ratio", absl::StrCat(product.has_coreset_ratio() ? product.coreset_ratio() : 1)},
      {"method", ShowMethod(product.method())},
      {"revision", Id(product.revision())},
      {"created", ShowTime(product.create_time())},
      {"updated", ShowTime(product.update_time())},
      {"uid", product.uid()},
      {"etag", product.etag()}};
  for (const auto& [key, value] : product.labels()) {
    rows.push_back({"label", absl::StrCat(key, "=", value)});
  }
  context.terminal.out << FormatTable(rows);
}

// The fields that the arguments set, as the update mask names them.
absl::StatusOr<std::vector<std::string>> Fill(const ProductArguments& arguments,
                                              const CLI::App& app, v1::Product& product) {
  std::vector<std::string> fields;
  if (app.count("--display-name") > 0) {
    product.set_display_name(arguments.display_name);
    fields.push_back("display_name");
  }
  if (app.count("--class-name") > 0) {
    product.set_class_name(arguments.class_name);
    fields.push_back("class_name");
  }
  if (app.count("--label") > 0) {
    for (const std::string& label : arguments.labels) {
      const size_t equals = label.find('=');
      if (label.empty()) continue;  // --label "" clears them all.
      if (equals == std::string::npos || equals == 0) {
        return absl::InvalidArgumentError(absl::StrCat("--label ", label, ": give KEY=VALUE"));
      }
      (*product.mutable_labels())[label.substr(0, equals)] = label.substr(equals + 1);
    }
    fields.push_back("labels");
  }
  if (arguments.threshold.has_value()) product.set_threshold(*arguments.threshold);
  if (arguments.threshold.has_value() || arguments.auto_threshold) fields.push_back("threshold");
  if (arguments.coreset_ratio.has_value()) {
    product.set_coreset_ratio(*arguments.coreset_ratio);
    fields.push_back("coreset_ratio");
  }
  if (arguments.method.has_value()) {
    product.set_method(*arguments.method);
    fields.push_back("method");
  }
  return fields;
}

int Create(Context& context, const ProductArguments& arguments, const CLI::App& app) {
  auto client = context.Connect();
  if (!client.ok()) return context.Fail("product create", client.status());
  v1::Product product;
  if (const auto fields = Fill(arguments, app, product); !fields.ok()) {
    return context.Fail("product create", fields.status());
  }
  const auto created = client->CreateProduct(arguments.id, product, context.Call());
  if (!created.ok()) return context.Fail(arguments.id, created.status());
  Show(context, *created);
  return kOk;
}

int List(Context& context) {
  auto client = context.Connect();
  if (!client.ok()) return context.Fail("product list", client.status());
  std::vector<std::vector<std::string>> rows{
      {"PRODUCT", "REFERENCES", "THRESHOLD", "CALIBRATION", "CLASS", "NAME"}};
  const absl::Status status = client->ListProducts(
      [&](const v1::Product& product) {
        if (context.json) {
          context.terminal.out << ToJson(product) << "\n";
        } else {
          rows.push_back(
              {Id(product.name()), absl::StrCat(product.reference_count()),
               ShowThreshold(product.has_effective_threshold(), product.effective_threshold()),
               State(product), product.class_name(), product.display_name()});
        }
        return true;
      },
      context.Call());
  if (!status.ok()) return context.Fail("product list", status);
  if (!context.json) context.terminal.out << FormatTable(rows);
  return kOk;
}

int ShowOne(Context& context, const ProductArguments& arguments) {
  auto client = context.Connect();
  if (!client.ok()) return context.Fail("product show", client.status());
  const auto product = client->GetProduct(arguments.id, context.Call());
  if (!product.ok()) return context.Fail(arguments.id, product.status());
  Show(context, *product);
  return kOk;
}

int Update(Context& context, const ProductArguments& arguments, const CLI::App& app) {
  auto client = context.Connect();
  if (!client.ok()) return context.Fail("product update", client.status());
  v1::Product product;
  product.set_name(client::ProductName(arguments.id));
  const auto fields = Fill(arguments, app, product);
  if (!fields.ok()) return context.Fail("product update", fields.status());
  if (fields->empty()) {
    context.terminal.err << "hfwa: product update: name something to change; see --help\n";
    return kUsage;
  }
  const auto updated = client->UpdateProduct(product, *fields, context.Call());
  if (!updated.ok()) return context.Fail(arguments.id, updated.status());
  Show(context, *updated);
  return kOk;
}

int Delete(Context& context, const ProductArguments& arguments) {
  if (!arguments.yes) {
    context.terminal.err
        << "hfwa: this deletes the product with its references; say --yes to do it\n";
    return kUsage;
  }
  auto client = context.Connect();
  if (!client.ok()) return context.Fail("product delete", client.status());
  const absl::Status status = client->DeleteProduct(arguments.id, "", context.Call());
  return status.ok() ? kOk : context.Fail(arguments.id, status);
}

void AddFields(CLI::App& app, ProductArguments& arguments) {
  app.add_option("--display-name", arguments.display_name, "Name for people")->type_name("TEXT");
  app.add_option("--class-name", arguments.class_name,
                 "What the model's prompts call the part, such as metal_nut")
      ->type_name("TEXT");
  app.add_option("--label", arguments.labels, "A label, KEY=VALUE; may be repeated")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  app.add_option("--threshold", arguments.threshold, "Scores of at least this much are anomalous")
      ->type_name("0..1")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--coreset-ratio", arguments.coreset_ratio,
                 "Share of the references' patches that the memory bank keeps; default 1")
      ->type_name("0..1")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option(
         "--method", arguments.method,
         "How parts are judged: hfwa, the default, or anomaly-dino for parts that lie in any "
         "orientation (eight times the memory bank, without language)")
      ->type_name("hfwa|anomaly-dino")
      ->transform(CLI::CheckedTransformer(Methods()));
}

}  // namespace

void AddProductCommands(CLI::App& parent, Context& context, Action& action) {
  CLI::App* product = parent.add_subcommand("product", "Kinds of parts");
  product->require_subcommand(1);
  auto arguments = std::make_shared<ProductArguments>();
  const auto add = [&](const char* name, const char* about, auto run) {
    CLI::App* app = product->add_subcommand(name, about);
    AddGlobalOptions(*app, context);
    app->callback([&context, &action, arguments, app, run] {
      action = [&context, arguments, app, run] { return run(context, *arguments, *app); };
    });
    return app;
  };
  using Args = const ProductArguments&;
  using App = const CLI::App&;

  CLI::App* create = add("create", "Create a product",
                         [](Context& c, Args a, App app) { return Create(c, a, app); });
  create->add_option("PRODUCT", arguments->id,
                     "Its id: a-z, 0-9 and -; chosen by the server if left out");
  AddFields(*create, *arguments);
  create->footer(
      "Example:\n  hfwa product create bolt --display-name 'Bolt M8' --class-name metal_nut");

  add("list", "List all products", [](Context& c, Args, App) { return List(c); });

  CLI::App* show =
      add("show", "Show a product", [](Context& c, Args a, App) { return ShowOne(c, a); });
  show->add_option("PRODUCT", arguments->id)->required();

  CLI::App* update = add("update", "Change a product",
                         [](Context& c, Args a, App app) { return Update(c, a, app); });
  update->add_option("PRODUCT", arguments->id)->required();
  AddFields(*update, *arguments);
  update
      ->add_flag("--auto-threshold", arguments->auto_threshold,
                 "Let the server derive the threshold from the references")
      ->excludes("--threshold");
  update->footer("Example:\n  hfwa product update bolt --threshold 0.62");

  CLI::App* remove =
      add("delete", "Delete a product", [](Context& c, Args a, App) { return Delete(c, a); });
  remove->add_option("PRODUCT", arguments->id)->required();
  remove->add_flag("--yes", arguments->yes, "Really delete it, with its references");
}

}  // namespace hfwa::cli
