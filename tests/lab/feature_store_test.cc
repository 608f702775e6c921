// Features come back as they were put in, from memory and from the file.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "lab/eval/features.h"

namespace hfwa::lab {
namespace {

Features Numbered(float number) {
  Features features;
  features.tokens = at::full({2, 4, 3}, number);
  features.language_diff = at::full({2, 2, 2}, number + 1);
  features.probability = number / 100;
  features.views["windows"] = at::full({5, 3}, number + 2).slice(0, 0, 4);
  features.views["turned"] = at::full({1}, number + 3);
  return features;
}

TEST(FeatureStoreTest, gives_back_what_it_took_whatever_the_memory) {
  for (const size_t bytes : {size_t{0}, size_t{200}, size_t{1} << 20}) {
    FeatureStore store(bytes, testing::TempDir());
    for (int i = 0; i < 3; ++i) {
      ASSERT_EQ(*store.Add(Numbered(static_cast<float>(10 * i))), static_cast<size_t>(i));
    }
    for (const int i : {2, 0, 1}) {
      const Features want = Numbered(static_cast<float>(10 * i));
      const Features got = *store.Get(static_cast<size_t>(i));
      EXPECT_TRUE(got.tokens.equal(want.tokens)) << bytes << " bytes, number " << i;
      EXPECT_TRUE(got.language_diff.equal(want.language_diff));
      EXPECT_EQ(got.probability, want.probability);
      ASSERT_EQ(got.views.size(), 2U);
      for (const auto& [name, tensor] : want.views) {
        EXPECT_TRUE(got.views.at(name).equal(tensor)) << name << ", " << bytes << " bytes";
      }
    }
  }
}

TEST(FeatureStoreTest, takes_features_without_the_models_pass) {
  FeatureStore store(0, testing::TempDir());
  Features features;
  features.views["values"] = at::ones({3});
  ASSERT_TRUE(store.Add(features).ok());
  EXPECT_FALSE(store.Get(0)->tokens.defined());
  EXPECT_TRUE(store.Get(0)->views.at("values").equal(at::ones({3})));
}

}  // namespace
}  // namespace hfwa::lab
