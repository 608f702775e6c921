#include "core/bank/bank.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <utility>
#include <vector>

#include "core/bank/coreset.h"

namespace hfwa::bank {
namespace {

constexpr int kLevels = 2, kGrid = 3, kEmbed = 5;

const std::unique_ptr<kernels::Kernels> kFp32 = kernels::MakeKernels(at::kCPU, at::kFloat);

at::Tensor RandomTokens(uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const at::Tensor tokens = at::randn({kLevels, kGrid * kGrid, kEmbed}, generator);
  return tokens / tokens.norm(2, -1, true);
}

std::shared_ptr<const Bank> MakeBank(int references) {
  return *Bank::Create(references, *kFp32,
                       [](int k) { return RandomTokens(100 + static_cast<uint64_t>(k)); });
}

// One image, one row, one number at a time.
at::Tensor NaiveMatch(const at::Tensor& tokens, int references, int left_out) {
  at::Tensor few = at::empty({kLevels, kGrid, kGrid});
  for (int level = 0; level < kLevels; ++level) {
    for (int l = 0; l < kGrid * kGrid; ++l) {
      double best = -2;
      for (int k = 0; k < references; ++k) {
        if (k == left_out) continue;
        const at::Tensor reference = RandomTokens(100 + static_cast<uint64_t>(k));
        for (int row = 0; row < kGrid * kGrid; ++row) {
          best = std::max(
              best, at::dot(tokens[level][l].to(at::kDouble), reference[level][row].to(at::kDouble))
                        .item<double>());
        }
      }
      few[level][l / kGrid][l % kGrid] = 1 - best;
    }
  }
  return few;
}

TEST(BankTest, matches_like_a_naive_loop_over_blocks_of_any_number) {
  const at::Tensor tokens = RandomTokens(1);
  for (const int references : {1, 2, 16, 17, 35}) {
    const auto bank = MakeBank(references);
    EXPECT_EQ(bank->references(), references);
    const at::Tensor difference =
        (bank->Match(tokens) - NaiveMatch(tokens, references, -1)).abs().max();
    EXPECT_LT(difference.item<float>(), 1e-6F) << references;
  }
}

TEST(BankTest, a_range_leaves_the_others_out) {
  const at::Tensor tokens = RandomTokens(1);
  const auto bank = MakeBank(4);
  const at::Tensor without_1 =
      at::minimum(bank->MatchRange(tokens, 0, 1), bank->MatchRange(tokens, 2, 2));
  EXPECT_LT((without_1 - NaiveMatch(tokens, 4, 1)).abs().max().item<float>(), 1e-6F);
}

TEST(BankTest, a_reference_matches_itself) {
  const auto bank = MakeBank(3);
  EXPECT_LT(bank->Match(bank->ReferenceTokens(1)).abs().max().item<float>(), 1e-6F);
}

TEST(BankTest, a_single_reference_is_compared_with_its_own_distant_patches) {
  constexpr int kSide = 7;
  at::Generator generator = at::detail::createCPUGenerator(5);
  at::Tensor tokens = at::randn({kLevels, kSide * kSide, kEmbed}, generator);
  tokens = tokens / tokens.norm(2, -1, true);
  const auto bank = *Bank::Create(1, *kFp32, [&](int) { return tokens; });
  const at::Tensor few = bank->MatchSelf(tokens, 0, 2);
  for (int level = 0; level < kLevels; ++level) {
    for (int i = 0; i < kSide * kSide; ++i) {
      double best = -2;
      for (int j = 0; j < kSide * kSide; ++j) {
        if (std::abs(i / kSide - j / kSide) <= 2 && std::abs(i % kSide - j % kSide) <= 2) continue;
        best = std::max(best, at::dot(tokens[level][i], tokens[level][j]).item<double>());
      }
      EXPECT_NEAR(few[level][i / kSide][i % kSide].item<double>(), 1 - best, 1e-6)
          << level << " " << i;
    }
  }
  // On the smallest grids only the patch itself is left out, and nothing is infinite.
  const auto small = MakeBank(1);
  EXPECT_TRUE(at::isfinite(small->MatchSelf(RandomTokens(100), 0)).all().item<bool>());
}

// One image, one selected row, one number at a time.
at::Tensor NaiveSelected(const at::Tensor& tokens, const Bank& full,
                         const Bank::Selection& selection, int first, int count) {
  at::Tensor few = at::full({kLevels, kGrid * kGrid}, 2.0);
  for (int level = 0; level < kLevels; ++level) {
    for (const int64_t row : selection[static_cast<size_t>(level)]) {
      const int k = static_cast<int>(row / (kGrid * kGrid));
      if (k < first || k >= first + count) continue;
      const at::Tensor kept = full.ReferenceTokens(k)[level][row % (kGrid * kGrid)];
      for (int l = 0; l < kGrid * kGrid; ++l) {
        const float distance = 1 - at::dot(tokens[level][l], kept).item<float>();
        if (distance < few[level][l].item<float>()) few[level][l] = distance;
      }
    }
  }
  return few.view({kLevels, kGrid, kGrid});
}

TEST(BankTest, a_selection_is_matched_and_nothing_else) {
  const at::Tensor tokens = RandomTokens(1);
  const auto full = MakeBank(4);
  const Bank::Selection selection = {{0, 3, 10, 35}, {8, 9, 17, 30}};
  const auto kept = full->Keep(*kFp32, selection);
  ASSERT_TRUE(kept.ok()) << kept.status();
  EXPECT_EQ((*kept)->references(), 4);
  // Kernels round rows up to blocks.
  const auto many = MakeBank(35);
  EXPECT_LT((*many->Keep(*kFp32, selection))->bytes(), many->bytes());
  for (const auto& [first, count] : {std::pair{0, 4}, {1, 2}, {2, 1}, {3, 1}}) {
    const at::Tensor difference = (*kept)->MatchRange(tokens, first, count) -
                                  NaiveSelected(tokens, *full, selection, first, count);
    EXPECT_LT(difference.abs().max().item<float>(), 1e-6F) << first << " " << count;
  }
  for (const Bank::Selection& wrong :
       {Bank::Selection{{0, 1}}, {{0, 1}, {2}}, {{}, {}}, {{1, 0}, {0, 1}}, {{0, 36}, {0, 1}}}) {
    EXPECT_TRUE(absl::IsInvalidArgument(full->Keep(*kFp32, wrong).status()));
  }
}

TEST(BankTest, a_coreset_keeps_a_row_of_each_and_leaves_one_out_as_if_it_were_not_there) {
  const auto full = MakeBank(4);
  for (const double ratio : {0.05, 0.3, 1.0}) {
    const Bank::Selection selection = full->Coreset(ratio);
    ASSERT_EQ(selection.size(), static_cast<size_t>(kLevels));
    for (const auto& rows : selection) {
      EXPECT_EQ(static_cast<int64_t>(rows.size()), CoresetSize(36, 4, ratio));
      for (int k = 0; k < 4; ++k) {
        EXPECT_TRUE(std::any_of(rows.begin(), rows.end(), [&](int64_t row) {
          return row / 9 == k;
        })) << k;
      }
    }
    // References 0, 2 and 3 alone choose the same.
    const auto others = *Bank::Create(3, *kFp32, [](int k) {
      return RandomTokens(100 + static_cast<uint64_t>(k == 0 ? 0 : k + 1));
    });
    Bank::Selection expected = others->Coreset(ratio);
    for (auto& rows : expected) {
      for (int64_t& row : rows) row += row >= 9 ? 9 : 0;
    }
    EXPECT_EQ(full->Coreset(ratio, {1, 1}), expected);
    // And so do 0 and 3 without the two between.
    const auto outer =
        *Bank::Create(2, *kFp32, [](int k) { return RandomTokens(k == 0 ? 100 : 103); });
    expected = outer->Coreset(ratio);
    for (auto& rows : expected) {
      for (int64_t& row : rows) row += row >= 9 ? 18 : 0;
    }
    EXPECT_EQ(full->Coreset(ratio, {1, 2}), expected);
  }
}

TEST(BankTest, a_single_reference_of_few_rows_is_compared_with_those_that_are_far) {
  constexpr int kSide = 7;
  at::Generator generator = at::detail::createCPUGenerator(5);
  at::Tensor tokens = at::randn({kLevels, kSide * kSide, kEmbed}, generator);
  tokens = tokens / tokens.norm(2, -1, true);
  const auto full = *Bank::Create(1, *kFp32, [&](int) { return tokens; });
  const std::vector<int64_t> rows = {0, 48};  // two corners
  const auto bank = *full->Keep(*kFp32, {rows, rows});
  const at::Tensor few = bank->MatchSelf(tokens, 0, 2);
  for (int i = 0; i < kSide * kSide; ++i) {
    double best = -2;
    for (const int64_t j : rows) {
      if (std::abs(i / kSide - j / kSide) <= 2 && std::abs(i % kSide - j % kSide) <= 2) continue;
      best = std::max(best, at::dot(tokens[0][i], tokens[0][j]).item<double>());
    }
    EXPECT_NEAR(few[0][i / kSide][i % kSide].item<double>(), best < -1 ? 0 : 1 - best, 1e-6) << i;
  }
}

TEST(BankTest, levels_count_by_their_weights_in_every_match) {
  const std::vector<float> weights = {3, 0.5F};
  const auto tokens_of = [](int k) { return RandomTokens(100 + static_cast<uint64_t>(k)); };
  const auto plain = MakeBank(3);
  const auto bank = *Bank::Create(3, *kFp32, tokens_of, {}, weights);
  const at::Tensor tokens = RandomTokens(1), factor = at::tensor(weights).view({-1, 1, 1});
  const auto differ = [&](const at::Tensor& weighed, const at::Tensor& unweighed) {
    return (weighed - unweighed * factor).abs().max().item<float>();
  };
  EXPECT_LT(differ(bank->Match(tokens), plain->Match(tokens)), 1e-6F);
  EXPECT_LT(differ(bank->MatchRange(tokens, 1, 2), plain->MatchRange(tokens, 1, 2)), 1e-6F);
  EXPECT_LT(differ(bank->MatchSelf(tokens_of(0), 0, 1), plain->MatchSelf(tokens_of(0), 0, 1)),
            1e-6F);
  const at::Tensor distances = at::ones({kLevels, kGrid, kGrid});
  bank->Weigh(distances);
  EXPECT_LT(differ(distances, at::ones_like(distances)), 1e-6F);
  const Bank::Selection selection = {{0, 9, 20}, {3, 4, 26}};
  EXPECT_LT(differ((*bank->Keep(*kFp32, selection))->Match(tokens),
                   (*plain->Keep(*kFp32, selection))->Match(tokens)),
            1e-6F);
  EXPECT_TRUE(absl::IsInvalidArgument(
      Bank::Create(3, *kFp32, tokens_of, {}, std::vector<float>{1}).status()));
}

TEST(BankTest, the_same_rows_can_have_other_weights) {
  const auto plain = MakeBank(3);
  const auto weighed = plain->WithLevelWeights({3, 0.5F});
  const at::Tensor tokens = RandomTokens(1);
  const at::Tensor expected = plain->Match(tokens) * at::tensor({3.0F, 0.5F}).view({-1, 1, 1});
  EXPECT_LT((weighed->Match(tokens) - expected).abs().max().item<float>(), 1e-6F);
  EXPECT_EQ(weighed->level_weights(), (std::vector<float>{3, 0.5F}));
  EXPECT_TRUE(plain->level_weights().empty()) << "the bank it came from is a value";
}

TEST(BankTest, refuses_no_reference_other_shapes_and_passes_errors_on) {
  EXPECT_TRUE(absl::IsInvalidArgument(
      Bank::Create(0, *kFp32, [](int) { return RandomTokens(1); }).status()));
  EXPECT_TRUE(
      absl::IsInvalidArgument(Bank::Create(2, *kFp32, [](int k) {
                                return k == 0 ? RandomTokens(1) : at::zeros({kLevels, 4, kEmbed});
                              }).status()));
  EXPECT_TRUE(absl::IsDataLoss(Bank::Create(1, *kFp32, [](int) {
                                 return absl::StatusOr<at::Tensor>(absl::DataLossError("x"));
                               }).status()));
}

}  // namespace
}  // namespace hfwa::bank
