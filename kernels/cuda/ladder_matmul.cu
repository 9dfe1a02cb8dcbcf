// One matrix product, five times, each kernel a step faster than the one before.              (article 3.1.2)
//
//     C[m,n] = Σ_k A[m,k] · B[k,n]          A (M,K), B (K,N), C (M,N), rows one after another in memory
//
// The arithmetic is always the same, M·N·K multiply-adds. What changes is how often a number is fetched, and
// from how far away: memory (some hundred cycles), shared memory (some thirty), registers (none). gemm.cu
// goes on from step 4, conv.cuh from step 5: steps 6 and 7, told at the end.
#include "prims.cuh"

// Step 1: a thread for each number of C.
// Neighbouring threads have neighbouring n, so a warp reads B and writes C in whole lines. But every
// multiply-add needs two loads from memory (or its cache): the whole of A is read N times, the whole of B M
// times.
// Launch: blocks (⌈N/32⌉, ⌈M/8⌉) of (32, 8) threads.
extern "C" __global__ void matmul_1_naive(int M, int N, int K, const float* A, const float* B, float* C) {
    const int n = blockIdx.x * 32 + threadIdx.x, m = blockIdx.y * 8 + threadIdx.y;
    if (m >= M || n >= N) return;
    float sum = 0;
    for (int k = 0; k < K; k++) sum += A[m * K + k] * B[k * N + n];
    C[m * N + n] = sum;
}

// Step 2: a block fetches tiles together, into shared memory.
// The 32x32 threads of a block need the same 32 rows of A and 32 columns of B. So they fetch a tile of each
// together, one number a thread, and then everybody reads from the tiles: memory is read 32 times less often.
// Launch: blocks (⌈N/32⌉, ⌈M/32⌉) of (32, 32) threads.
extern "C" __global__ void matmul_2_tiled(int M, int N, int K, const float* A, const float* B, float* C) {
    __shared__ float a[32][32], b[32][32];
    const int x = threadIdx.x, y = threadIdx.y, n = blockIdx.x * 32 + x, m = blockIdx.y * 32 + y;
    float sum = 0;
    for (int k0 = 0; k0 < K; k0 += 32) {
        a[y][x] = m < M && k0 + x < K ? A[m * K + k0 + x] : 0;  // zeros at the edges add nothing
        b[y][x] = k0 + y < K && n < N ? B[(k0 + y) * N + n] : 0;
        __syncthreads();  // the tiles are whole
        for (int k = 0; k < 32; k++) sum += a[y][k] * b[k][x];
        __syncthreads();  // nobody reads them any more: the next ones may come
    }
    if (m < M && n < N) C[m * N + n] = sum;
}

// Step 3: a thread computes 4x4 numbers, from registers.
// In step 2 each multiply-add still takes two loads, from shared memory now. Here a thread computes 4x4
// numbers: 4 of a and 4 of b, fetched once into registers, serve 16 multiply-adds. Half a load each, a
// quarter of step 2's. The thread's 4 rows (and columns) are 16 apart, so that neighbouring threads read
// neighbouring columns.
// Launch: blocks (⌈N/64⌉, ⌈M/64⌉) of (16, 16) threads.
extern "C" __global__ void matmul_3_registers(int M, int N, int K, const float* A, const float* B, float* C) {
    __shared__ float a[64][16], b[16][64];  // a warp's two rows of 16 lie in different banks as they are
    const int x = threadIdx.x, y = threadIdx.y, t = y * 16 + x, n0 = blockIdx.x * 64, m0 = blockIdx.y * 64;
    float sum[4][4] = {};
    for (int k0 = 0; k0 < K; k0 += 16) {
        for (int i = t; i < 64 * 16; i += 256) {
            const int r = i / 16, ka = k0 + i % 16, c = i % 64, kb = k0 + i / 64;
            a[r][i % 16] = m0 + r < M && ka < K ? A[(m0 + r) * K + ka] : 0;
            b[i / 64][c] = kb < K && n0 + c < N ? B[kb * N + n0 + c] : 0;
        }
        __syncthreads();
        for (int k = 0; k < 16; k++) {
            float left[4], right[4];
            for (int i = 0; i < 4; i++) left[i] = a[y + 16 * i][k], right[i] = b[k][x + 16 * i];
            for (int i = 0; i < 4; i++) {
                for (int j = 0; j < 4; j++) sum[i][j] += left[i] * right[j];
            }
        }
        __syncthreads();
    }
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++) {
            const int m = m0 + y + 16 * i, n = n0 + x + 16 * j;
            if (m < M && n < N) C[m * N + n] = sum[i][j];
        }
    }
}

// Step 4: four numbers a load, 8x8 numbers a thread.
// A load of 16 bytes takes one instruction, as one of 4 bytes does. So a is kept turned, [k][m], where a
// thread's rows are neighbours too, and everything moves four numbers at a time. With 8x8 numbers a thread, 4
// loads serve 64 multiply-adds. N and K must be multiples of 4 (gemm.cu takes any size).
// Launch: blocks (⌈N/128⌉, ⌈M/128⌉) of (16, 16) threads.
extern "C" __global__ void __launch_bounds__(256)
matmul_4_vectors(int M, int N, int K, const float* A, const float* B, float* C) {
    __shared__ float4 a[8][32 + 1], b[8][32];  // 128 numbers in each row
    const int x = threadIdx.x, y = threadIdx.y, t = y * 16 + x, n0 = blockIdx.x * 128, m0 = blockIdx.y * 128;
    const float4 zero = {0, 0, 0, 0};
    float sum[8][8] = {};
    for (int k0 = 0; k0 < K; k0 += 8) {
        const int m = m0 + t / 2, ka = k0 + t % 2 * 4, kb = k0 + t / 32, n = n0 + t % 32 * 4;
        const float4 down = m < M && ka < K ? *(const float4*)(A + m * K + ka) : zero;
        float* column = (float*)a[t % 2 * 4] + t / 2;
        column[0] = down.x, column[132] = down.y, column[264] = down.z, column[396] = down.w;  // 132 in a row
        b[t / 32][t % 32] = kb < K && n < N ? *(const float4*)(B + kb * N + n) : zero;
        __syncthreads();
        #pragma unroll
        for (int k = 0; k < 8; k++) {
            const float4 l[2] = {a[k][y], a[k][y + 16]}, r[2] = {b[k][x], b[k][x + 16]};
            const float left[8] = {l[0].x, l[0].y, l[0].z, l[0].w, l[1].x, l[1].y, l[1].z, l[1].w};
            const float right[8] = {r[0].x, r[0].y, r[0].z, r[0].w, r[1].x, r[1].y, r[1].z, r[1].w};
            #pragma unroll
            for (int i = 0; i < 8; i++) {
                #pragma unroll
                for (int j = 0; j < 8; j++) sum[i][j] += left[i] * right[j];
            }
        }
        __syncthreads();
    }
    #pragma unroll
    for (int i = 0; i < 8; i++) {
        const int m = m0 + i / 4 * 64 + y * 4 + i % 4;
        #pragma unroll
        for (int j = 0; j < 8; j += 4) {
            const int n = n0 + j / 4 * 64 + x * 4;
            const float4 four = {sum[i][j], sum[i][j + 1], sum[i][j + 2], sum[i][j + 3]};
            if (m < M && n < N) *(float4*)(C + m * N + n) = four;
        }
    }
}

#if defined(TM_CPU) || __CUDA_ARCH__ >= 800

// Step 5: a warp multiplies small matrices, on tensor cores.
// One instruction of a warp multiplies 16x8 by 8x8 numbers: 1024 multiply-adds, where step 4's instructions
// do 32. Each lane brings the numbers that tm_mma_tf32 asks of it (prims.cuh). The price: factors are rounded
// to TF32, 10 bits of fraction, so C is right to about 3e-4 instead of 1e-7. What is left to gain is in
// conv.cuh: fetch the next tile while this one is multiplied.
// Launch: blocks (⌈N/64⌉, ⌈M/64⌉) of 256 threads: 8 warps, each for 16 rows by 32 columns.
extern "C" __global__ void matmul_5_tensor_cores(int M, int N, int K, const float* A, const float* B,
                                                 float* C) {
    __shared__ float a[64][16 + 4], b[16][64 + 8];  // 4 and 8: the 32 lanes of a fragment read from 32 banks
    const int t = threadIdx.x, n0 = blockIdx.x * 64, m0 = blockIdx.y * 64;
    const int g = t % 32 / 4, q = t % 4, row = t / 64 * 16 + g, col = t / 32 % 2 * 32;
    float sum[4][4] = {};  // four tiles of 16x8, side by side; of each the lane holds four numbers
    for (int k0 = 0; k0 < K; k0 += 16) {
        for (int i = t; i < 64 * 16; i += 256) {
            const int r = i / 16, ka = k0 + i % 16, c = i % 64, kb = k0 + i / 64;
            a[r][i % 16] = m0 + r < M && ka < K ? A[(m0 + r) * K + ka] : 0;
            b[i / 64][c] = kb < K && n0 + c < N ? B[kb * N + n0 + c] : 0;
        }
        __syncthreads();
        for (int k = q; k < 16; k += 8) {
            const unsigned left[4] = {tm_to_tf32(a[row][k]), tm_to_tf32(a[row + 8][k]),
                                      tm_to_tf32(a[row][k + 4]), tm_to_tf32(a[row + 8][k + 4])};
            for (int j = 0; j < 4; j++) {
                const int c = col + j * 8 + g;
                const unsigned right[2] = {tm_to_tf32(b[k][c]), tm_to_tf32(b[k + 4][c])};
                tm_mma_tf32(sum[j], left, right);
            }
        }
        __syncthreads();
    }
    for (int j = 0; j < 4; j++) {
        for (int e = 0; e < 4; e++) {
            const int m = m0 + row + e / 2 * 8, n = n0 + col + j * 8 + q * 2 + e % 2;
            if (m < M && n < N) C[m * N + n] = sum[j][e];
        }
    }
}

#endif

// Step 6: gemm.cu, exact: the next tile is under way while one is multiplied.
// It goes on from step 4. The next tile's numbers come from memory into registers while this one's are
// multiplied, and then go into a second pair of tiles: one barrier a step, and memory's delay is hidden. Where
// C is small, smaller tiles give every multiprocessor a block. Any size, turned matrices, stacks of them.
// Launch: cupy_matmul.gemm(a, b).

// Step 7: conv.cuh, TF32: copies beside the tensor cores, past the registers.
// It goes on from step 5. Three stages of tiles: cp.async fills two, sixteen bytes a copy, while the tensor
// cores work on the third. A warp computes up to 64x32 numbers, so that a fragment, once in registers, serves
// several instructions. A product is a convolution of 1x1: a row of A is a pixel, K its channels.
// Launch: cupy_matmul.gemm(a, b, tf32=True).
