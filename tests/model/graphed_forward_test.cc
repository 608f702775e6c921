// Buckets, filling up and who owns results, with a stand-in for graphs that runs its work again.

#include "core/model/graphed_forward.h"

#include <vector>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/model/tiny_model.h"

namespace hfwa::model {
namespace {

// Writes a replay's results where the capture left them, as a graph does.
class AgainGraph final : public kernels::Graph {
 public:
  explicit AgainGraph(int* replays) : replays_(replays) {}
  void Capture(const std::function<void()>& work) override {
    work_ = work;
    work_();
  }
  void Replay() override {
    ++*replays_;
    work_();
  }

 private:
  int* const replays_;
  std::function<void()> work_;
};

class GraphedForwardTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto model = Hfwa::Create(TinyFiles(), TinyOptions());
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
    auto graphed = GraphedForward::Create(*model_, 4, [this] {
      ++graphs_;
      return std::make_unique<AgainGraph>(&replays_);
    });
    ASSERT_TRUE(graphed.ok()) << graphed.status();
    graphed_ = *std::move(graphed);
    const at::Tensor few = TinyInputs().at("images");  // three
    images_ = at::cat({few, few.flip(0)});
  }

  int graphs_ = 0, replays_ = 0;
  at::Tensor images_;
  std::unique_ptr<Hfwa> model_;
  std::unique_ptr<GraphedForward> graphed_;
};

TEST_F(GraphedForwardTest, any_batch_gives_what_the_model_gives) {
  EXPECT_EQ(graphs_, 4);  // 1, 2, 3, 4
  std::vector<ForwardResult> kept;
  for (int count = 1; count <= 5; ++count) {
    const std::vector<int> classes(static_cast<size_t>(count), 0);
    const auto graphed = graphed_->Forward(images_.slice(0, 0, count), classes);
    const auto plain = model_->Forward(images_.slice(0, 0, count), classes);
    ASSERT_TRUE(graphed.ok()) << graphed.status();
    kept.push_back(*graphed);
    for (const auto member :
         {&ForwardResult::text_probs, &ForwardResult::language_diff, &ForwardResult::tokens}) {
      ASSERT_EQ(((*graphed).*member).sizes(), ((*plain).*member).sizes());
    }
  }
  EXPECT_EQ(replays_, 4) << "five images are more than the largest bucket";
  // What was handed out is its own, whatever is replayed later.
  for (int count = 1; count <= 5; ++count) {
    const std::vector<int> classes(static_cast<size_t>(count), 0);
    const auto plain = model_->Forward(images_.slice(0, 0, count), classes);
    const ForwardResult& graphed = kept[static_cast<size_t>(count - 1)];
    // A batch on the CPU rounds by its shape.
    EXPECT_TRUE(at::allclose(graphed.tokens, plain->tokens, 0, 1e-5)) << count;
    EXPECT_TRUE(at::allclose(graphed.language_diff, plain->language_diff, 0, 1e-5)) << count;
    EXPECT_TRUE(at::allclose(graphed.text_probs, plain->text_probs, 0, 1e-4)) << count;
  }
}

TEST_F(GraphedForwardTest, refuses_what_the_model_refuses) {
  EXPECT_TRUE(absl::IsInvalidArgument(graphed_->Forward(images_.slice(0, 0, 2), {0}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(graphed_->Forward(images_.slice(3, 0, 9), {0, 0}).status()));
  EXPECT_EQ(replays_, 0);
}

TEST_F(GraphedForwardTest, says_where_there_are_no_graphs) {
  const auto none = GraphedForward::Create(*model_, 1, [] { return nullptr; });
  EXPECT_TRUE(absl::IsUnavailable(none.status()));
}

}  // namespace
}  // namespace hfwa::model
