// One convolution, four times, each kernel a step faster than the one before.                 (article 4.1.1)
//
//     y[n,i,j,o] = Σ_u Σ_v Σ_c  w[o,u,v,c] · x[n, i·s+u·d−p, j·s+v·d−p, c]
//
// Images and weights with channels last, one group, no bias. Each x is needed KH·KW·O times and each w
// N·OH·OW times: a fast kernel fetches neither that often. conv.cu goes on from step 4 (step 5, told at
// the end), and has the gradients.
#include "conv_shape.cuh"
#include "prims.cuh"

// Step 1: a thread for each y.
// Neighbouring threads have neighbouring o, so they write side by side and all read the same x. But every
// multiply-add takes two loads, and nothing that one thread fetched serves another, but by luck of the cache.
// Launch: blocks (⌈N·OH·OW·O/256⌉) of 256 threads.
extern "C" __global__ void conv_1_naive(ConvShape s, const float* x, const float* w, float* y) {
    const int t = blockIdx.x * 256 + threadIdx.x, o = t % s.O, j = t / s.O % s.OW, i = t / s.O / s.OW % s.OH;
    const int n = t / s.O / s.OW / s.OH;
    if (n >= s.N) return;
    float sum = 0;
    for (int u = 0; u < s.KH; u++) {
        for (int v = 0; v < s.KW; v++) {
            const int h = i * s.SH + u * s.DH - s.PH, q = j * s.SW + v * s.DW - s.PW;
            if (h < 0 || h >= s.H || q < 0 || q >= s.W) continue;  // padding is 0 and adds nothing
            const float* pixel = x + ((n * s.H + h) * s.W + q) * s.C;
            const float* tap = w + ((o * s.KH + u) * s.KW + v) * s.C;
            for (int c = 0; c < s.C; c++) sum += tap[c] * pixel[c];
        }
    }
    y[t] = sum;
}

// Step 2: a block fetches a patch of x together, into shared memory.
// A block computes 8x8 pixels of y, 32 channels of each. It fetches the patch of x that these see once, and
// the weights once, 4 channels at a time. A thread computes 8 channels of one pixel: 1 load of x and 2 (of 16
// bytes) of w, all from shared memory, serve 8 multiply-adds. Weak points: the patch grows with the kernel
// and the stride, small images leave threads without a pixel, and each x fetched into a register serves only
// 8 products.
// Launch: blocks (⌈OW/8⌉, ⌈OH/8⌉, N · ⌈O/32⌉) of 256 threads; shared memory for 4·PATCH + KH·KW·128 floats,
// PATCH = (7·SH + (KH−1)·DH + 1) · (7·SW + (KW−1)·DW + 1).
extern "C" __global__ void conv_2_shared(ConvShape s, const float* x, const float* w, float* y) {
    extern __shared__ float4 shared[];
    const int i0 = blockIdx.y * 8, j0 = blockIdx.x * 8, n = blockIdx.z % s.N, o0 = blockIdx.z / s.N * 32;
    const int rows = 7 * s.SH + (s.KH - 1) * s.DH + 1, cols = 7 * s.SW + (s.KW - 1) * s.DW + 1;
    const int t = threadIdx.x, taps = s.KH * s.KW;
    float* weights = (float*)shared;        // [tap][c][o]: a thread's 8 channels side by side
    float* patch = weights + taps * 4 * 32; // [c][h][q]
    const int i = t % 64 / 8, j = t % 8, mine = t / 64 * 8;  // the threads of a warp share their 8 channels
    float sum[8] = {};
    for (int c0 = 0; c0 < s.C; c0 += 4) {
        for (int k = t; k < 4 * rows * cols; k += 256) {
            const int c = c0 + k % 4, place = k / 4;
            const int h = i0 * s.SH - s.PH + place / cols, q = j0 * s.SW - s.PW + place % cols;
            const bool inside = c < s.C && h >= 0 && h < s.H && q >= 0 && q < s.W;
            patch[k % 4 * rows * cols + place] = inside ? x[((n * s.H + h) * s.W + q) * s.C + c] : 0;
        }
        for (int k = t; k < taps * 4 * 32; k += 256) {
            const int c = c0 + k % 4, tap = k / 4 % taps, o = k / 4 / taps;
            const bool inside = c < s.C && o0 + o < s.O;
            weights[(tap * 4 + k % 4) * 32 + o] = inside ? w[((o0 + o) * taps + tap) * s.C + c] : 0;
        }
        __syncthreads();  // patch and weights are whole
        for (int tap = 0; tap < taps; tap++) {
            const int place = (i * s.SH + tap / s.KW * s.DH) * cols + j * s.SW + tap % s.KW * s.DW;
            for (int c = 0; c < 4; c++) {
                const float seen = patch[c * rows * cols + place];
                const float4* of = (const float4*)(weights + (tap * 4 + c) * 32 + mine);
                const float4 a = of[0], b = of[1];
                sum[0] += a.x * seen, sum[1] += a.y * seen, sum[2] += a.z * seen, sum[3] += a.w * seen;
                sum[4] += b.x * seen, sum[5] += b.y * seen, sum[6] += b.z * seen, sum[7] += b.w * seen;
            }
        }
        __syncthreads();  // nobody reads them any more
    }
    for (int k = 0; k < 8; k++) {
        const int o = o0 + mine + k;
        const bool inside = i0 + i < s.OH && j0 + j < s.OW && o < s.O;
        if (inside) y[((n * s.OH + i0 + i) * s.OW + j0 + j) * s.O + o] = sum[k];
    }
}

// x at k = (u,v,c) of the window of pixel m = (n,i,j): the matrix that nobody lays out in memory.
__device__ float window(const ConvShape& s, const float* x, int m, int k) {
    const int c = k % s.C, v = k / s.C % s.KW, u = k / s.C / s.KW;
    const int j = m % s.OW, i = m / s.OW % s.OH, n = m / s.OW / s.OH;
    const int h = i * s.SH + u * s.DH - s.PH, q = j * s.SW + v * s.DW - s.PW;
    const bool inside = n < s.N && u < s.KH && h >= 0 && h < s.H && q >= 0 && q < s.W;
    return inside ? x[((n * s.H + h) * s.W + q) * s.C + c] : 0;
}

// Step 3: a matrix product whose left matrix is gathered while it is fetched ("implicit GEMM").
// y (pixels, O) = windows (pixels, KH·KW·C) · wᵀ, by matmul_3_registers (ladder_matmul.cu); only what fetches
// a tile of A is new. Kernel, stride and image may have any size, the tiles stay full, and each number
// fetched serves 64. The price are divisions to find each x, which conv.cu then avoids.
// Launch: blocks (⌈N·OH·OW/64⌉, ⌈O/64⌉) of 256 threads.
extern "C" __global__ void conv_3_implicit_gemm(ConvShape s, const float* x, const float* w, float* y) {
    __shared__ float a[64][17], b[64][17];  // 17: the rows of neighbouring threads lie in different banks
    const int t = threadIdx.x, m0 = blockIdx.x * 64, o0 = blockIdx.y * 64, K = s.KH * s.KW * s.C;
    float sum[4][4] = {};
    for (int k0 = 0; k0 < K; k0 += 16) {
        for (int i = t; i < 64 * 16; i += 256) {
            const int r = i / 16, k = k0 + i % 16;
            a[r][i % 16] = window(s, x, m0 + r, k);
            b[r][i % 16] = o0 + r < s.O && k < K ? w[(o0 + r) * K + k] : 0;
        }
        __syncthreads();
        for (int k = 0; k < 16; k++) {
            for (int i = 0; i < 4; i++) {
                for (int j = 0; j < 4; j++) sum[i][j] += a[t / 16 + 16 * i][k] * b[t % 16 + 16 * j][k];
            }
        }
        __syncthreads();
    }
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++) {
            const int m = m0 + t / 16 + 16 * i, o = o0 + t % 16 + 16 * j;
            if (m < s.N * s.OH * s.OW && o < s.O) y[m * s.O + o] = sum[i][j];
        }
    }
}

#if defined(TM_CPU) || __CUDA_ARCH__ >= 800

// Step 4: a warp multiplies small matrices, on tensor cores.
// The same tiles, multiplied by tm_mma_tf32 (prims.cuh, and matmul_5_tensor_cores): 1024 multiply-adds an
// instruction, factors rounded to TF32, so y is right to about 3e-4. Now fetching is the slow part; conv.cu
// brings four channels a copy, past the registers and while the last tile is being multiplied, and finds them
// without divisions.
// Launch: blocks (⌈N·OH·OW/64⌉, ⌈O/64⌉) of 256 threads: 8 warps, each for 16 pixels by 32 channels.
extern "C" __global__ void conv_4_tensor_cores(ConvShape s, const float* x, const float* w, float* y) {
    __shared__ float a[64][20], b[64][20];  // 20: the 32 lanes of a fragment read from 32 banks
    const int t = threadIdx.x, m0 = blockIdx.x * 64, o0 = blockIdx.y * 64, K = s.KH * s.KW * s.C;
    const int g = t % 32 / 4, q = t % 4, row = t / 64 * 16 + g, col = t / 32 % 2 * 32;
    float sum[4][4] = {};  // four tiles of 16x8, side by side; of each the lane holds four numbers
    for (int k0 = 0; k0 < K; k0 += 16) {
        for (int i = t; i < 64 * 16; i += 256) {
            const int r = i / 16, k = k0 + i % 16;
            a[r][i % 16] = window(s, x, m0 + r, k);
            b[r][i % 16] = o0 + r < s.O && k < K ? w[(o0 + r) * K + k] : 0;
        }
        __syncthreads();
        for (int k = q; k < 16; k += 8) {
            const unsigned left[4] = {tm_to_tf32(a[row][k]), tm_to_tf32(a[row + 8][k]),
                                      tm_to_tf32(a[row][k + 4]), tm_to_tf32(a[row + 8][k + 4])};
            for (int j = 0; j < 4; j++) {
                const float* of = b[col + j * 8 + g];
                const unsigned right[2] = {tm_to_tf32(of[k]), tm_to_tf32(of[k + 4])};
                tm_mma_tf32(sum[j], left, right);
            }
        }
        __syncthreads();
    }
    for (int j = 0; j < 4; j++) {
        for (int e = 0; e < 4; e++) {
            const int m = m0 + row + e / 2 * 8, o = o0 + col + j * 8 + q * 2 + e % 2;
            if (m < s.N * s.OH * s.OW && o < s.O) y[m * s.O + o] = sum[j][e];
        }
    }
}

#endif

// Step 5: conv.cu: copies beside the tensor cores, past the registers.
// Three stages of tiles: cp.async fills two, four channels a copy, while the tensor cores work on the third. x
// is found by counting on from the place before (Milometer), not by dividing. A warp computes up to 64x32
// numbers, so that a fragment, once in registers, serves several instructions.
// Launch: cupy_conv.conv2d(x, w, b, s).
