#include "core/engine/tensor_pool.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <optional>

namespace hfwa::engine {
namespace {

TEST(TensorPoolTest, a_buffer_is_used_again_once_nobody_holds_it) {
  TensorPool pool({3, 4, 4}, /*pinned=*/false, 2);
  EXPECT_EQ(pool.bytes(), 3 * 4 * 4 * 4);
  at::Tensor first = pool.Take();
  EXPECT_EQ(first.sizes(), (std::vector<int64_t>{3, 4, 4}));
  const void* const data = first.data_ptr();
  const at::Tensor view = first[1];
  first.reset();
  EXPECT_EQ(pool.kept(), 0U) << "the view holds it";
  EXPECT_NE(pool.Take().data_ptr(), data);
  EXPECT_EQ(pool.kept(), 1U);
}

TEST(TensorPoolTest, no_more_are_kept_than_it_was_told) {
  TensorPool pool({8}, /*pinned=*/false, 2);
  {
    const at::Tensor a = pool.Take(), b = pool.Take(), c = pool.Take();
    EXPECT_NE(a.data_ptr(), b.data_ptr());
  }
  EXPECT_EQ(pool.kept(), 2U);
}

TEST(TensorPoolTest, a_tensor_outlives_the_pool) {
  std::optional<TensorPool> pool(std::in_place, std::vector<int64_t>{8}, false, 2);
  at::Tensor tensor = pool->Take();
  pool.reset();
  tensor.fill_(3);
  EXPECT_EQ(tensor.sum().item<float>(), 24);
}

}  // namespace
}  // namespace hfwa::engine
