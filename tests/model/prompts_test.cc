#include "core/model/prompts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hfwa::model {
namespace {

using testing::ElementsAre;

TEST(PromptTextsTest, learnt_prompts_get_placeholders_and_always_a_full_stop) {
  PromptConfig prompt;
  prompt.length = 3;
  prompt.class_names = {"metal_nut", "tile"};
  const auto texts = PromptTexts(prompt, {"damaged {}", "a photo of the {}."});
  ASSERT_EQ(texts.size(), 2U);
  EXPECT_THAT(texts[0],
              ElementsAre("X X X damaged metal_nut.", "X X X a photo of the metal_nut.."));
  EXPECT_THAT(texts[1], ElementsAre("X X X damaged tile.", "X X X a photo of the tile.."));
}

TEST(PromptTextsTest, fixed_prompts_are_state_major) {
  PromptConfig prompt;
  prompt.type = PromptConfig::Type::kFixed;
  prompt.class_names = {"gear"};
  prompt.templates = {"a photo of a {}.", "this is one {}."};
  EXPECT_THAT(PromptTexts(prompt, {"{}", "broken {}"})[0],
              ElementsAre("a photo of a gear.", "this is one gear.", "a photo of a broken gear.",
                          "this is one broken gear."));
}

}  // namespace
}  // namespace hfwa::model
