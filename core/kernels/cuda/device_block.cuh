#pragma once

// A block of threads on the device; twin_block.h is its twin.

#include <cstdint>

#include "core/kernels/cuda/fragments.h"
#include "core/kernels/cuda/numbers.h"

namespace hfwa::kernels::cuda {

struct DeviceBlock {
  template <typename T>
  struct PerThread {
    T value;
    __device__ T& operator[](int /*thread*/) { return value; }
  };

  template <typename Work>
  __device__ void ForEach(const Work& work) const {
    work(static_cast<int>(threadIdx.x));
  }
  __device__ void Sync() const { __syncthreads(); }
  __device__ void AtomicMax(uint32_t* place, uint32_t value) const { atomicMax(place, value); }

  // 16 bytes from global to shared memory; zeros if not `there`.
  __device__ void CopyAsync16(uint16_t* to, const uint16_t* from, bool there) const {
    const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(to));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from),
                 "r"(there ? 16 : 0)
                 : "memory");
  }
  __device__ void CommitCopies() const { asm volatile("cp.async.commit_group;" ::: "memory"); }
  // Until all but the newest kNewest groups of this thread's copies are there.
  template <int kNewest>
  __device__ void AwaitCopies() const {
    asm volatile("cp.async.wait_group %0;" ::"n"(kNewest) : "memory");
  }

  // Four 8 x 8 matrices of 16-bit values: thread i of a warp names line i % 8 of matrix i / 8.
  template <typename Address, typename Register>
  __device__ void LoadMatrices(const Address& address, const Register& into) const {
    const int t = static_cast<int>(threadIdx.x);
    const auto from = static_cast<uint32_t>(__cvta_generic_to_shared(address(t)));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(into(t, 0)), "=r"(into(t, 1)), "=r"(into(t, 2)), "=r"(into(t, 3))
                 : "r"(from)
                 : "memory");
  }

  // The same, each matrix transposed on the way.
  template <typename Address, typename Register>
  __device__ void LoadTransposed(const Address& address, const Register& into) const {
    const int t = static_cast<int>(threadIdx.x);
    const auto from = static_cast<uint32_t>(__cvta_generic_to_shared(address(t)));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(into(t, 0)), "=r"(into(t, 1)), "=r"(into(t, 2)), "=r"(into(t, 3))
                 : "r"(from)
                 : "memory");
  }

  // c += a b with fp32 sums, 16 x 8 x 16.
  template <Type kType, typename Sums, typename Left>
  __device__ void MultiplyAdd(const Sums& sums, const Left& left, PerThread<FragmentB>& b) const {
    float(&c)[4] = sums(static_cast<int>(threadIdx.x)).values;
    const uint32_t(&a)[4] = left(static_cast<int>(threadIdx.x)).values;
    if constexpr (kType == Type::kFp16) {
      asm volatile(
          "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
          "{%8, %9}, {%0, %1, %2, %3};"
          : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b.value.values[0]),
            "r"(b.value.values[1]));
    } else {
      asm volatile(
          "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, "
          "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
          : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b.value.values[0]),
            "r"(b.value.values[1]));
    }
  }

  // value = combine(value, value of the thread whose number differs by `mask`), inside warps.
  template <typename Value, typename Combine>
  __device__ void ReduceXor(int mask, const Value& value, const Combine& combine) const {
    auto& own = value(static_cast<int>(threadIdx.x));
    own = combine(own, __shfl_xor_sync(0xffffffffU, own, mask));
  }
};

}  // namespace hfwa::kernels::cuda
