#include "core/kernels/cpu/avx512/attention.h"
#include "core/kernels/cpu/avx512/elementwise.h"
#include "core/kernels/cpu/avx512/rows.h"

template struct hfwa::kernels::avx512::Avx512<float>;
