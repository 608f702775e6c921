#pragma once

// Which rows of a memory bank stand for all of them: PatchCore's greedy k-center (arXiv 2106.08265,
// section 3.2).

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace hfwa::bank {

// Indices, ascending, of the chosen among `rows` [R, E] (fp32, CPU, R a multiple of `references`,
// reference k's rows k * R / references and on). Begins with the most ordinary row of each
// reference, so that each keeps one, and goes on with the row farthest from all that are chosen,
// until `ratio` of all are. Distances are taken in 128 dimensions, onto which rows of more are
// projected by fixed random signs. The same rows give the same choice, whatever the number of
// threads. O(ratio R² 128) multiplications. `ratio` more than 0, at most 1.
std::vector<int64_t> Coreset(const at::Tensor& rows, int references, double ratio);

// How many that are.
int64_t CoresetSize(int64_t rows, int references, double ratio);

}  // namespace hfwa::bank
