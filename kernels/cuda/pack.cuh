// Memory in steps of 16 bytes: V neighbouring numbers as one value, loaded and stored by one
// instruction. Where a kernel does little but move memory, a thread that asks for 16 bytes keeps four
// times as much on the way as one that asks for 4, in a quarter of the instructions. The address must be
// a multiple of 16: whoever cannot promise that (an odd number of channels, the tail of an array) takes
// V = 1, the same code on single numbers.
#ifndef TM_PACK_CUH
#define TM_PACK_CUH
#include "prims.cuh"

#define WIDE ((int)(16 / sizeof(REAL)))  // four floats or two doubles

template <class T, int V>
struct alignas(V * sizeof(T) < 16 ? V * sizeof(T) : 16) Pack {
    T at[V];
};

template <int V, class T>
__device__ __forceinline__ Pack<T, V>& pack(T* at) {
    return *(Pack<T, V>*)at;
}

template <int V, class T>
__device__ __forceinline__ const Pack<T, V>& pack(const T* at) {
    return *(const Pack<T, V>*)at;
}

// Whether all of these may be read in steps of 16 bytes.
template <class... T>
__device__ __forceinline__ bool aligned(const T*... at) {
    return (((size_t)at % 16 == 0) && ...);
}

// at = 0, V, 2V, … below `all`, shared out among all threads; neighbouring threads take neighbouring packs.
#define EACH_PACK(at, V, all)                                                               \
    for (long long at = (blockIdx.x * (long long)blockDim.x + threadIdx.x) * V; at < (all); \
         at += (long long)gridDim.x * blockDim.x * V)

#endif
