#include "core/kernels/aten/packed_linear.h"

#include <optional>

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>

namespace hfwa::kernels {
namespace {

using PointwiseOp = at::Tensor(const at::Tensor&, const at::Tensor&,
                               const std::optional<at::Tensor>&, c10::string_view,
                               c10::List<std::optional<at::Scalar>>,
                               std::optional<c10::string_view>);
using ReorderOp = at::Tensor(const at::Tensor&, std::optional<c10::SymInt>);

// Rows that the layout is chosen for; other batches run as fast with it.
constexpr int64_t kTypicalRows = 577;

// Internal operators of LibTorch, so looked up by name and doubted: a test compares them with
// at::linear.
const c10::TypedOperatorHandle<PointwiseOp>& Pointwise() {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
                             .typed<PointwiseOp>();
  return op;
}

std::optional<at::Tensor> Reorder(const at::Tensor& weight) {
  if (!at::hasMKLDNN() || weight.size(0) < 2 || weight.size(1) < 2) return std::nullopt;
  try {
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("mkldnn::_reorder_linear_weight", "")
                               .typed<ReorderOp>();
    const at::Tensor packed = op.call(weight, c10::SymInt(kTypicalRows));
    // A type that this CPU's oneDNN lacks shows only when it is run.
    const at::Tensor probe = at::zeros({1, weight.size(1)}, weight.options());
    Pointwise().call(probe, packed, std::nullopt, "none", c10::List<std::optional<at::Scalar>>(),
                     "");
    return packed;
  } catch (const c10::Error&) {
    return std::nullopt;
  }
}

c10::string_view FusedName(PackedLinear::Fused fused) {
  switch (fused) {
    case PackedLinear::Fused::kNone:
      return "none";
    case PackedLinear::Fused::kGelu:
      return "gelu";
    case PackedLinear::Fused::kRelu:
      return "relu";
    case PackedLinear::Fused::kSwish:
      return "swish";
  }
  return "none";
}

}  // namespace

PackedLinear::PackedLinear(const LinearWeights& weights, at::Device device, at::ScalarType type,
                           bool allow_packing)
    : device_(device), type_(type) {
  weight_ = weights.weight.to(device, type).contiguous();
  if (weights.bias.defined()) bias_ = weights.bias.to(device, type).contiguous();
  if (!allow_packing || !device.is_cpu() || type == at::kHalf) return;
  if (auto packed = Reorder(weight_)) {
    weight_ = *std::move(packed);
    packed_ = true;
  }
}

at::Tensor PackedLinear::Apply(const at::Tensor& x, Fused fused) const {
  const at::Tensor input = x.to(device_, type_);
  std::optional<at::Tensor> bias;
  if (bias_.defined()) bias = bias_;
  if (packed_) {
    return Pointwise().call(input.contiguous(), weight_, bias, FusedName(fused),
                            c10::List<std::optional<at::Scalar>>(),
                            fused == Fused::kGelu ? "none" : "");
  }
  at::Tensor y = at::linear(input, weight_, bias);
  switch (fused) {
    case Fused::kNone:
      return y;
    case Fused::kGelu:
      return at::gelu_(y);
    case Fused::kRelu:
      return at::relu_(y);
    case Fused::kSwish:
      return at::silu_(y);
  }
  return y;
}

}  // namespace hfwa::kernels
