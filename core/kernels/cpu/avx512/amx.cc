#include "core/kernels/cpu/avx512/amx.h"

template struct hfwa::kernels::avx512::Amx<hfwa::kernels::avx512::Tiles::kHardware>;
template struct hfwa::kernels::avx512::Amx<hfwa::kernels::avx512::Tiles::kSoftware>;
