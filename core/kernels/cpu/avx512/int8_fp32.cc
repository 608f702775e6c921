#include "core/kernels/cpu/avx512/int8.h"

template struct hfwa::kernels::avx512::Avx512Int8<float>;
