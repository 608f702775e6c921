#pragma once

// Named tensors from files, checked against the configuration.

#include <functional>
#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "core/model/config.h"

namespace hfwa::model {

// Tensors by name: OpenAI's names for the frozen part, spec 9.2's for the learnt part; fp32 on the
// CPU (fp16, bf16 and int8-with-scale are widened).
class Weights {
 public:
  // NOT_FOUND if absent, INVALID_ARGUMENT if the shape is another one; both name the tensor.
  absl::StatusOr<at::Tensor> Get(const std::string& name, at::IntArrayRef shape) const;
  bool Has(const std::string& name) const { return tensors_.count(name) > 0; }
  // Replaces a tensor of the same name.
  void Set(const std::string& name, at::Tensor tensor) { tensors_[name] = std::move(tensor); }
  const std::map<std::string, at::Tensor>& tensors() const { return tensors_; }

 private:
  std::map<std::string, at::Tensor> tensors_;
};

// Names and shapes that a model of this configuration needs, frozen and learnt.
struct TensorSpec {
  std::string name;
  std::vector<int64_t> shape;
};
// With share_weight and linear adapters only level 0's adapter is listed (spec 4.3). Without a
// language side only what the patch tokens need: blocks up to the last tap, no visual.ln_post.
std::vector<TensorSpec> RequiredTensors(const ModelConfig& config);

// Names, input and output sizes of the linear maps of one adapter mlp (fwa: block `block` of level
// `level`; linear: the adapter itself), counting activations and dropouts as the checkpoints do
// (spec 4.1, 4.2). None where there are no adapters.
struct AdapterLayer {
  std::string name;
  int64_t in = 0;
  int64_t out = 0;
};
std::vector<AdapterLayer> AdapterLayers(const ModelConfig& config, int level, int block);

// Gives each tensor its one name: visual_encoder.adapters.i.weight becomes ...layers.0.weight
// (spec 4.2), and under share_weight every level gets level 0's linear adapter. ReadModelDirectory
// has done so already.
void ResolveAliases(const ModelConfig& config, Weights& weights);

// Every required tensor is there, has its shape and holds only finite values; else INVALID_ARGUMENT
// that names up to ten of the missing, misshapen or non-finite ones.
absl::Status CheckWeights(const ModelConfig& config, const Weights& weights);

// A model directory, read and checked.
struct ModelFiles {
  ModelConfig config;
  std::string config_json;
  Weights weights;
  std::string
      merges;  // contents of the merges file (unpacked), empty where there is no language side
  std::string digest;  // SHA-256 over configuration, tensors and merges, 64 hexadecimal digits
};

// Reads a model directory:
//   config.json            ours (spec 2), or in a Hugging Face CLIP directory hfwa.json beside its
//   config.json frozen part            weights.safetensors with OpenAI's names; or
//   model.safetensors (or
//                          model.safetensors.index.json and its shards) with Hugging Face's; or
//                          vit.safetensors with timm's (LayerScale folded, int8 with scales
//                          widened)
//   additions.safetensors  more of the frozen part, by OpenAI's names, for a tower that was made
//                          for something else: projections, text tower; what it holds goes first
//   learned.safetensors    the learnt part (not read where the configuration has nothing learnt)
//   merges.txt(.gz) or bpe_simple_vocab_16e6.txt.gz
// Errors are INVALID_ARGUMENT or NOT_FOUND and name the file.
absl::StatusOr<ModelFiles> ReadModelDirectory(const std::string& directory);

// The same directory without its learnt part, which need not be there: what training starts from.
// `digest` covers the files of the frozen tensors alone, so it is the same whatever was learnt on
// them. INVALID_ARGUMENT where there is no language side.
struct FrozenModel {
  ModelConfig config;
  std::string config_json;  // in our terms
  Weights weights;
  std::string merges;
  std::string digest;
  std::vector<std::string> files;  // names in the directory: of the frozen tensors and the merges
};
absl::StatusOr<FrozenModel> ReadFrozenModel(const std::string& directory);

}  // namespace hfwa::model
