#include "client/cli/completion.h"

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "client/cli/commands.h"

namespace hfwa::cli {
namespace {

// A command, and what may follow it.
struct Node {
  std::vector<std::string> path;  // Without the program's name.
  std::string about;
  std::vector<std::string> subcommands;
  struct Option {
    std::string name;  // Without dashes.
    std::string about;
    bool takes_value;
  };
  std::vector<Option> options;
};

void Walk(const CLI::App& app, std::vector<std::string> path, std::vector<Node>& nodes) {
  Node node{path, app.get_description(), {}, {}};
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      node.options.push_back(
          {name, option->get_description(), option->get_items_expected_max() > 0});
    }
  }
  const auto subcommands = app.get_subcommands([](const CLI::App*) { return true; });
  for (const CLI::App* subcommand : subcommands) node.subcommands.push_back(subcommand->get_name());
  nodes.push_back(std::move(node));
  for (const CLI::App* subcommand : subcommands) {
    path.push_back(subcommand->get_name());
    Walk(*subcommand, path, nodes);
    path.pop_back();
  }
}

std::vector<Node> Walk(const CLI::App& app) {
  std::vector<Node> nodes;
  Walk(app, {}, nodes);
  return nodes;
}

std::string Words(const Node& node) {
  std::vector<std::string> words = node.subcommands;
  for (const auto& option : node.options) words.push_back("--" + option.name);
  return absl::StrJoin(words, " ");
}

// Inside single quotes, for shells.
std::string Quoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
}

}  // namespace

std::string BashCompletion(const CLI::App& app) {
  std::string known, words;
  for (const Node& node : Walk(app)) {
    const std::string path = absl::StrJoin(node.path, " ");
    absl::StrAppend(&words, "    ", Quoted(path), ") words=", Quoted(Words(node)), " ;;\n");
    if (!node.path.empty()) absl::StrAppend(&known, known.empty() ? "" : "|", Quoted(path));
  }
  return absl::StrCat(
      "# bash completion for hfwa: source it, or put it into bash_completion.d\n"
      "_hfwa() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} path='' try word words=''\n"
      "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
      "    try=\"${path:+$path }$word\"\n"
      "    case \"$try\" in ",
      known,
      ") path=$try ;; esac\n"
      "  done\n"
      "  case \"$path\" in\n",
      words,
      "  esac\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
      "}\n"
      "complete -o default -F _hfwa hfwa\n");
}

std::string ZshCompletion(const CLI::App& app) {
  return absl::StrCat(
      "# zsh completion for hfwa: source it after compinit\n"
      "autoload -U +X bashcompinit && bashcompinit\n",
      BashCompletion(app));
}

std::string FishCompletion(const CLI::App& app) {
  std::string script =
      "# fish completion for hfwa: put it into ~/.config/fish/completions/hfwa.fish\n";
  const std::vector<Node> nodes = Walk(app);
  for (const Node& node : nodes) {
    std::string here;
    for (const std::string& word : node.path) {
      absl::StrAppend(&here, here.empty() ? "" : "; and ", "__fish_seen_subcommand_from ", word);
    }
    // Names of subcommands are offered until one of them was chosen.
    std::string choosing = here.empty() ? "__fish_use_subcommand" : here;
    if (!here.empty() && !node.subcommands.empty()) {
      absl::StrAppend(&choosing, "; and not __fish_seen_subcommand_from ",
                      absl::StrJoin(node.subcommands, " "));
    }
    for (const std::string& name : node.subcommands) {
      std::string about;
      for (const Node& other : nodes) {
        if (other.path.size() == node.path.size() + 1 && other.path.back() == name &&
            std::equal(node.path.begin(), node.path.end(), other.path.begin())) {
          about = other.about;
        }
      }
      absl::StrAppend(&script, "complete -c hfwa -f -n ", Quoted(choosing), " -a ", name, " -d ",
                      Quoted(about), "\n");
    }
    for (const auto& option : node.options) {
      absl::StrAppend(&script, "complete -c hfwa -n ", Quoted(here.empty() ? "true" : here), " -l ",
                      option.name, option.takes_value ? " -r" : "", " -d ", Quoted(option.about),
                      "\n");
    }
  }
  return script;
}

void AddCompletionCommand(CLI::App& parent, Context& context, Action& action) {
  auto shell = std::make_shared<std::string>();
  CLI::App* app =
      parent.add_subcommand("completion", "Print a script that completes the command line");
  app->add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  app->footer("Example:\n  source <(hfwa completion bash)");
  app->callback([&parent, &context, &action, shell] {
    action = [&parent, &context, shell] {
      context.terminal.out << (*shell == "bash"  ? BashCompletion(parent)
                               : *shell == "zsh" ? ZshCompletion(parent)
                                                 : FishCompletion(parent));
      return static_cast<int>(kOk);
    };
  });
}

}  // namespace hfwa::cli
