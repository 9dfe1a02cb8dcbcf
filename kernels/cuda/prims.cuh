// What every kernel here shares: the number type, mathematics for both of its widths, sums over a warp, and
// the two things that C has no word for, written once as PTX: tensor cores, and copies that run beside the
// arithmetic. No header of the toolkit is needed. With -DTM_CPU the same sources run on a CPU, which brings
// its own version of that PTX (tests/gpu/cuda_on_cpu.h).
#ifndef TM_PRIMS_CUH
#define TM_PRIMS_CUH

#ifndef REAL
#define REAL float  // -DREAL=double for gradient checks; write constants as REAL(0.5)
#endif

#define TM_FULL_WARP 0xffffffffu  // all 32 lanes take part in a shuffle

// ------------------------------------------------------------------------ mathematics
// One name for both widths: a plain exp(x) would compute in double wherever x was promoted by accident.

__device__ __forceinline__ float tm_exp(float x) { return expf(x); }
__device__ __forceinline__ double tm_exp(double x) { return exp(x); }
__device__ __forceinline__ float tm_log(float x) { return logf(x); }
__device__ __forceinline__ double tm_log(double x) { return log(x); }
__device__ __forceinline__ float tm_sqrt(float x) { return sqrtf(x); }
__device__ __forceinline__ double tm_sqrt(double x) { return sqrt(x); }
__device__ __forceinline__ float tm_tanh(float x) { return tanhf(x); }
__device__ __forceinline__ double tm_tanh(double x) { return tanh(x); }
// The larger; of a NaN and a number, the number.
__device__ __forceinline__ float tm_max(float a, float b) { return fmaxf(a, b); }
__device__ __forceinline__ double tm_max(double a, double b) { return fmax(a, b); }
// C's INFINITY needs a header.
__device__ __forceinline__ float tm_infinity() { return __int_as_float(0x7f800000); }

// σ(x) = 1 / (1 + e^-x); for x far below zero e^-x is ∞ and σ is 0, as it should be.
__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }
__device__ __forceinline__ double sigmoid(double x) { return 1.0 / (1.0 + exp(-x)); }

// ------------------------------------------------------------------------ over a warp
// Lane l adds the number of lane l^16, then of l^8, ... l^1: after five steps every lane holds the whole,
// and all lanes hold the same bits, since each step adds the same two numbers in both lanes of a pair.

template <class T>
__device__ __forceinline__ T warp_sum(T x) {
    for (int apart = 16; apart > 0; apart /= 2) x += __shfl_xor_sync(TM_FULL_WARP, x, apart);
    return x;
}

template <class T>
__device__ __forceinline__ T warp_max(T x) {
    for (int apart = 16; apart > 0; apart /= 2) x = tm_max(x, __shfl_xor_sync(TM_FULL_WARP, x, apart));
    return x;
}

// ------------------------------------------------------------------------ from sm_80 on
#if !defined(TM_CPU) && defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800

// x with 10 bits of mantissa instead of 23, rounded to nearest: what a tensor core multiplies.
__device__ __forceinline__ unsigned tm_to_tf32(float x) {
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return bits;
}

// D (16x8) += A (16x8) · B (8x8) by the 32 lanes of a warp together. With g = lane / 4, q = lane % 4 a lane has
//     a[0] = A[g][q]     a[1] = A[g+8][q]     a[2] = A[g][q+4]     a[3] = A[g+8][q+4]
//     b[0] = B[q][g]     b[1] = B[q+4][g]
//     d[0] = D[g][2q]    d[1] = D[g][2q+1]    d[2] = D[g+8][2q]    d[3] = D[g+8][2q+1]
__device__ __forceinline__ void tm_mma_tf32(float* d, const unsigned* a, const unsigned* b) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Start to copy 4 bytes from global to shared memory; where not `inside`, nothing is read and zero is written.
__device__ __forceinline__ void tm_cp_async4(void* shared, const void* global, bool inside) {
    unsigned to = (unsigned)__cvta_generic_to_shared(shared);
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(global), "r"(inside ? 4 : 0)
                 : "memory");
}

// The same for 16 bytes, both addresses multiples of 16; they pass by the first cache (.cg), being read once.
__device__ __forceinline__ void tm_cp_async16(void* shared, const void* global, bool inside) {
    unsigned to = (unsigned)__cvta_generic_to_shared(shared);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(inside ? 16 : 0)
                 : "memory");
}

// The copies that this thread started since the last call are one group.
__device__ __forceinline__ void tm_cp_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Wait until at most GROUPS of this thread's groups are still on their way. What other threads copied needs a
// __syncthreads() after it.
template <int GROUPS>
__device__ __forceinline__ void tm_cp_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(GROUPS) : "memory");
}

#endif
#endif
