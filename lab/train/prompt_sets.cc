#include "lab/train/prompt_sets.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace hfwa::lab::train {
namespace {

constexpr const char* kScenes[] = {
    "a photo of the {}",          "a bright photo of the {}",          "a dark photo of the {}",
    "a close-up photo of the {}", "a black and white photo of the {}", "a blurry photo of the {}",
    "a blurry photo of a {}",     "a photo of the small {}",           "a photo of the large {}",
    "there is a {} in the scene", "this is one {} in the scene"};

constexpr const char* kTemplates[] = {"a bad photo of a {}",
                                      "a low resolution photo of the {}",
                                      "a bad photo of the {}",
                                      "a cropped photo of the {}",
                                      "a bright photo of a {}",
                                      "a dark photo of the {}",
                                      "a photo of my {}",
                                      "a photo of the cool {}",
                                      "a close-up photo of a {}",
                                      "a black and white photo of the {}",
                                      "a bright photo of the {}",
                                      "a cropped photo of a {}",
                                      "a jpeg corrupted photo of a {}",
                                      "a blurry photo of the {}",
                                      "a photo of the {}",
                                      "a good photo of the {}",
                                      "a photo of one {}",
                                      "a close-up photo of the {}",
                                      "a photo of a {}",
                                      "a low resolution photo of a {}",
                                      "a photo of a large {}",
                                      "a blurry photo of a {}",
                                      "a jpeg corrupted photo of the {}",
                                      "a good photo of a {}",
                                      "a photo of the small {}",
                                      "a photo of the large {}",
                                      "a black and white photo of a {}",
                                      "a dark photo of a {}",
                                      "a photo of a cool {}",
                                      "a photo of a small {}",
                                      "there is a {} in the scene",
                                      "there is the {} in the scene",
                                      "this is a {} in the scene",
                                      "this is the {} in the scene",
                                      "this is one {} in the scene"};

std::vector<std::string> InScenes(const std::vector<std::string>& states) {
  std::vector<std::string> texts;
  for (const std::string& state : states) {
    for (const char* scene : kScenes)
      texts.push_back(absl::StrReplaceAll(scene, {{"{}", state}}) + ".");
  }
  return texts;
}

}  // namespace

std::string ClassWords(const std::string& class_name) {
  return class_name.empty() ? "object" : absl::StrReplaceAll(class_name, {{"_", " "}});
}

std::vector<std::string> SceneStatesNormal() {
  return InScenes({"{}", "flawless {}", "{} without flaw", "{} without defect"});
}

std::vector<std::string> SceneStatesAnomaly() {
  return InScenes({"damaged {}", "broken {}", "{} with flaw", "{} with defect"});
}

std::vector<std::string> FixedStatesNormal() {
  return {"{}",
          "flawless {}",
          "perfect {}",
          "unblemished {}",
          "{} without flaw",
          "{} without defect",
          "{} without damage"};
}

std::vector<std::string> FixedStatesAnomaly() {
  return {"damaged {}", "broken {}", "{} with flaw", "{} with defect", "{} with damage"};
}

std::vector<std::string> FixedTemplates() {
  std::vector<std::string> texts;
  for (const char* text : kTemplates) texts.push_back(absl::StrCat(text, "."));
  return texts;
}

}  // namespace hfwa::lab::train
