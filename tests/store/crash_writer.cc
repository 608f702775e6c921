// Registers, deletes and re-registers in a loop and prints each call that was acknowledged, until
// it is killed.
//
//   crash_writer DIRECTORY SEED
//
// Lines: "add ID TEXT TEXT", "remove ID TEXT", "create ID", "erase ID" after the call; the same
// with "try " in front before it.

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/sha256.h"
#include "tests/store/store_fixture.h"

namespace {

// One write call a line, so that no line is half there.
void Print(const std::string& line) {
  const std::string text = line + "\n";
  if (::write(STDOUT_FILENO, text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    std::_Exit(3);
}

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::_Exit(2);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace hfwa::store;  // NOLINT(google-build-using-namespace)
  if (argc != 3) return 64;
  auto opened = OpenSqliteStore({.directory = argv[1], .checkpoint_frames = 8});
  Require(opened.status());
  Store& store = **opened;
  std::mt19937 random(static_cast<unsigned>(std::atoi(argv[2])));
  std::map<std::string, std::vector<std::string>> held;
  const auto products = store.ListProducts({.size = 1000, .after_id = ""});
  Require(products.status());
  for (const Product& product : *products) {
    const auto revision = store.CurrentRevision(product.id);
    Require(revision.status());
    for (const Reference& reference : revision->references) {
      const auto bytes = store.ReadObject(reference.sha256);
      Require(bytes.status());
      held[product.id].push_back(*bytes);
    }
    held[product.id];
  }
  const auto call = [&](const std::string& line, const auto& run) {
    Print("try " + line);
    Require(run());
    Print(line);
  };
  for (;;) {
    const std::string id = "p" + std::to_string(random() % 3);
    if (!held.contains(id)) {
      call("create " + id, [&] { return store.CreateProduct(NewProduct(id), {}).status(); });
      held[id];
    }
    auto& texts = held[id];
    if (texts.size() >= 12 && random() % 4 == 0) {
      call("erase " + id, [&] { return store.DeleteProduct(id, "", {}); });
      held.erase(id);
    } else if (!texts.empty() && random() % 4 == 0) {
      const std::string text = texts[random() % texts.size()];
      const std::string reference = "r" + hfwa::Sha256Hex(text).substr(0, 32);
      call(absl::StrCat("remove ", id, " ", text),
           [&] { return store.DeleteReference(id, reference, {}).status(); });
      std::erase(texts, text);
    } else {
      // Unique, or shared with other products.
      const std::string first = std::to_string(random());
      const std::string second = "shared" + std::to_string(random() % 20);
      call(absl::StrCat("add ", id, " ", first, " ", second), [&] {
        return AddTexts(store, id, {first, second}).status();
      });
      texts.push_back(first);
      if (std::find(texts.begin(), texts.end(), second) == texts.end()) texts.push_back(second);
    }
  }
}
