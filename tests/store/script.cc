#include "tests/store/script.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "core/base/sha256.h"
#include "tests/store/store_fixture.h"

namespace hfwa::store {
namespace {

Retry RetryOf(const std::string& name) { return {"request " + name, "contents of " + name}; }

Step Create(const std::string& id) {
  const std::string name = "create " + id;
  return {name, [=](Store& s) { return s.CreateProduct(NewProduct(id), RetryOf(name)).status(); },
          [=](Model& m) { m[id]; }};
}

Step Add(const std::string& id, const std::vector<std::string>& texts) {
  const std::string name = absl::StrCat("add to ", id, " ", texts[0]);
  return {name, [=](Store& s) { return AddTexts(s, id, texts, RetryOf(name)).status(); },
          [=](Model& m) { m[id].insert(m[id].end(), texts.begin(), texts.end()); }};
}

Step Remove(const std::string& id, const std::string& text) {
  const std::string name = absl::StrCat("remove from ", id, " ", text);
  const std::string reference = "r" + Sha256Hex(text).substr(0, 32);
  return {name, [=](Store& s) { return s.DeleteReference(id, reference, RetryOf(name)).status(); },
          [=](Model& m) { std::erase(m[id], text); }};
}

Step Erase(const std::string& id) {
  const std::string name = "erase " + id;
  return {name, [=](Store& s) { return s.DeleteProduct(id, "", RetryOf(name)); },
          [=](Model& m) { m.erase(id); }};
}

Step Update(const std::string& id) {
  const std::string name = "update " + id;
  const auto run = [=](Store& s) {
    ProductPatch patch;
    patch.display_name = "renamed";
    return s.UpdateProduct(id, patch, "", RetryOf(name)).status();
  };
  return {name, run, [](Model&) {}};
}

Step DropLease(const std::string& text) {
  return {"drop " + text, [=](Store& s) { return s.PutObject(text).status(); }, [](Model&) {}};
}

}  // namespace

std::vector<Step> MakeScript() {
  return {Create("a"),
          Add("a", {"one", "two"}),
          Create("b"),
          Add("b", {"two", "three"}),
          Update("a"),
          Remove("a", "one"),
          DropLease("never used"),
          Add("a", {"four"}),
          Erase("b"),
          Add("a", {"three", "one"})};
}

std::string Difference(Store& store, const std::string& directory, const Model& model) {
  const auto products = store.ListProducts({.size = 1000, .after_id = ""});
  if (!products.ok()) return absl::StrCat("ListProducts: ", products.status().ToString());
  std::set<std::string> wanted;
  size_t matched = 0;
  for (const Product& product : *products) {
    const auto expected = model.find(product.id);
    if (expected == model.end()) return "there should be no product " + product.id;
    ++matched;
    const auto revision = store.CurrentRevision(product.id);
    if (!revision.ok()) return absl::StrCat("CurrentRevision: ", revision.status().ToString());
    if (revision->number != product.revision) return "another revision of " + product.id;
    if (revision->references.size() != expected->second.size() ||
        static_cast<size_t>(product.reference_count) != expected->second.size()) {
      return absl::StrCat(product.id, " has ", revision->references.size(),
                          " references and counts ", product.reference_count, " instead of ",
                          expected->second.size());
    }
    for (size_t i = 0; i < expected->second.size(); ++i) {
      const auto bytes = store.ReadObject(revision->references[i].sha256);
      if (!bytes.ok()) return absl::StrCat("ReadObject: ", bytes.status().ToString());
      if (*bytes != expected->second[i])
        return absl::StrCat("reference ", i, " of ", product.id, " is another one");
      wanted.insert(revision->references[i].sha256);
    }
  }
  if (matched != model.size()) return "a product is missing";
  const auto stored = StoredObjects(directory);
  if (stored != std::vector<std::string>(wanted.begin(), wanted.end())) {
    return absl::StrCat(stored.size(), " files under objects instead of ", wanted.size());
  }
  return "";
}

}  // namespace hfwa::store
