// Right kernels, each with something in it that is easily got wrong: test_shim.py plants the mistakes.
#include "prims.cuh"

// y[n-1-i] = x[i]: each thread reads what another one wrote.
extern "C" __global__ void reverse(const REAL* __restrict__ x, REAL* __restrict__ y) {
    __shared__ REAL held[128];
    const int i = threadIdx.x;
    held[i] = x[i];
    __syncthreads();
    y[i] = held[127 - i];
}

// y[i] = x[i-1] + x[i] + x[i+1], zero beyond the ends.
extern "C" __global__ void blur(const REAL* __restrict__ x, REAL* __restrict__ y, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = (i > 0 ? x[i - 1] : REAL(0)) + x[i] + (i + 1 < n ? x[i + 1] : REAL(0));
}

// y = softmax(x), a block for a row: the room for the warps' results is used twice.
extern "C" __global__ void softmax(const REAL* __restrict__ x, REAL* __restrict__ y, int columns) {
    __shared__ REAL of_warp[4];
    const REAL* row = x + (long long)blockIdx.x * columns;
    const int t = threadIdx.x, warp = t / 32;

    REAL largest = -tm_infinity();
    for (int j = t; j < columns; j += 128) largest = tm_max(largest, row[j]);
    largest = warp_max(largest);
    of_warp[warp] = largest;
    __syncthreads();  // all have written
    for (int w = 0; w < 4; w++) largest = tm_max(largest, of_warp[w]);
    __syncthreads();  // all have read

    REAL sum = 0;
    for (int j = t; j < columns; j += 128) sum += tm_exp(row[j] - largest);
    of_warp[warp] = warp_sum(sum);
    __syncthreads();  // all have written again
    sum = of_warp[0] + of_warp[1] + of_warp[2] + of_warp[3];
    y += (long long)blockIdx.x * columns;
    for (int j = t; j < columns; j += 128) y[j] = tm_exp(row[j] - largest) / sum;
}

// y[l] = what shuffles and votes bring to lane l.
extern "C" __global__ void lanes(const int* __restrict__ x, int* __restrict__ y) {
    const int l = threadIdx.x;
    y[l] = __shfl_down_sync(TM_FULL_WARP, x[l], 3);
    y[32 + l] = __shfl_up_sync(TM_FULL_WARP, x[l], 2);
    y[64 + l] = __shfl_sync(TM_FULL_WARP, x[l], 5);
    y[96 + l] = __popc(__ballot_sync(TM_FULL_WARP, l < 7)) + __any_sync(TM_FULL_WARP, l == 31);
}

// y[block, i] = x[i] + block: three coordinates of threads and of blocks, four numbers at a time.
extern "C" __global__ void count(const float4* __restrict__ x, float* __restrict__ y) {
    extern __shared__ __align__(16) float held[];
    const int i = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    const int threads = blockDim.x * blockDim.y * blockDim.z;
    const int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    reinterpret_cast<float4*>(held)[i] = x[i];
    __syncthreads();
    for (int j = 0; j < 4; j++) y[4 * (threads * block + i) + j] = held[4 * i + j] + block;
}

#if defined(TM_CPU) || __CUDA_ARCH__ >= 800
// c (16x16) = a (16xK) · bᵀ (16xK) on tensor cores, K a multiple of 4: two warps, three stages of copies.
constexpr int STAGES = 3;

extern "C" __global__ void product(const float* __restrict__ a, const float* __restrict__ b,
                                   float* __restrict__ c, int K) {
    __shared__ __align__(16) float tile[STAGES][32][8];  // 16 rows of a, 16 of b
    const int t = threadIdx.x, warp = t / 32, g = t % 32 / 4, q = t % 4, steps = (K + 7) / 8;
    const int row = t / 2, part = t % 2 * 4;
    auto fetch = [&](int step) {
        const float* from = (row < 16 ? a + row * K : b + (row - 16) * K) + step * 8 + part;
        tm_cp_async16(&tile[step % STAGES][row][part], from, step * 8 + part < K);
        tm_cp_commit();
    };
    float sums[4] = {};
    for (int step = 0; step < STAGES - 1; step++) fetch(step);
    for (int step = 0; step < steps; step++) {
        tm_cp_wait<STAGES - 2>();
        __syncthreads();
        fetch(step + STAGES - 1);
        const float(*left)[8] = tile[step % STAGES], (*right)[8] = left + 16 + 8 * warp;
        const unsigned of_a[4] = {tm_to_tf32(left[g][q]), tm_to_tf32(left[g + 8][q]),
                                  tm_to_tf32(left[g][q + 4]), tm_to_tf32(left[g + 8][q + 4])};
        const unsigned of_b[2] = {tm_to_tf32(right[g][q]), tm_to_tf32(right[g][q + 4])};
        tm_mma_tf32(sums, of_a, of_b);
    }
    for (int i = 0; i < 4; i++) c[(g + i / 2 * 8) * 16 + 8 * warp + 2 * q + i % 2] = sums[i];
}
#endif
