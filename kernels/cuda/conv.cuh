// The matrix product inside every fast convolution, on the tensor cores:
//
//     result[m, n] = Σ_k  left[m, k] · right[n, k]
//
// Nobody lays out the matrix `left` in memory ("implicit GEMM"): conv.cu fetches its entries from the image
// itself, where they stand, straight into shared memory. This file multiplies what was fetched.
//
//  - A block of 256 threads computes 128 rows by COLS columns of the result, in steps of 16 k.
//  - Each step's share of left and right lies in one of three stages of shared memory. While the tensor cores
//    work on one, the copies into the next two are under way (cp.async goes past the registers), so memory's
//    delay is hidden.
//  - Each of the 8 warps owns a patch of the block's result, 32 columns wide, and keeps it in registers all
//    the time.
//  - mma.sync m16n8k8 multiplies 16x8 by 8x8 numbers in one instruction. They are rounded to TF32 (10 bits of
//    fraction, error about 3e-4), the sums are float32.
#ifndef TM_CONV_CUH
#define TM_CONV_CUH

#include "conv_shape.cuh"
#include "prims.cuh"

#ifndef COLS
#define COLS 64  // 32, 64 or 128: many use each fetched row more often, few waste less on thin layers
#endif
#ifndef VEC
#define VEC 4  // numbers a copy brings: 4 (16 bytes) where channels come in fours, else 1
#endif
#ifndef STEP
#define STEP 16  // of k between two barriers; 32 needs twice the shared memory
#endif

#if defined(TM_CPU) || __CUDA_ARCH__ >= 800

constexpr int THREADS = 256, ROWS = 128, STAGES = 3;
// Blocks to a multiprocessor: 2 leave 128 registers a thread. Wide blocks are alone where copies of single
// numbers take more registers, or where shared memory has 100 KB, of which one block takes 60.
#if __CUDA_ARCH__ == 860 || __CUDA_ARCH__ == 890 || __CUDA_ARCH__ >= 1200
constexpr int BLOCKS = COLS == 128 ? 1 : 2;
#else
constexpr int BLOCKS = COLS == 128 && VEC == 1 ? 1 : 2;
#endif

// A count of three digits, like a milometer's: low runs to LOW, then mid moves on, which runs to MID, then
// high. Walks over (u, v, c) or (n, i, j) without dividing: n / d is the upper half of n · ⌈2³²/d⌉,
// while n · d < 2³².
struct Milometer {
    int high, mid, low, MID, LOW;
    unsigned per_mid, per_low;  // ⌈2³²/MID⌉, ⌈2³²/LOW⌉

    __device__ Milometer(int at, int MID, int LOW)
        : high(at / LOW / MID), mid(at / LOW % MID), low(at % LOW), MID(MID), LOW(LOW),
          per_mid(0xffffffffu / MID + 1), per_low(0xffffffffu / LOW + 1) {}

    __device__ static int divide(int n, int d, unsigned per_d) {
        return d == 1 ? n : int((unsigned long long)n * per_d >> 32);
    }

    __device__ void advance(int by) {
        low += by;
        const int carry = divide(low, LOW, per_low);
        low -= carry * LOW;
        mid += carry;
        const int more = divide(mid, MID, per_mid);
        mid -= more * MID;
        high += more;
    }
};

// One copy of VEC numbers into shared memory, of zeros where `inside` is false; it lands by tm_cp_wait.
__device__ __forceinline__ void copy(float* to, const float* from, bool inside) {
    if (VEC == 4) {
        tm_cp_async16(to, from, inside);
    } else {
        tm_cp_async4(to, from, inside);
    }
}

// K_FAST: neighbours along k lie side by side in memory, and so in shared memory; else neighbours along the
// rows do. The 4 (or 8) numbers of air after each line shift it by some banks, so that the 32 lanes of a
// fragment, 8 rows by 4 k, read from 32 different banks at once.
template <bool K_FAST>
struct Product {
    static constexpr int LEFT_ROW = K_FAST ? STEP + 4 : 1, LEFT_K = K_FAST ? 1 : ROWS + 8;
    static constexpr int RIGHT_ROW = K_FAST ? STEP + 4 : 1, RIGHT_K = K_FAST ? 1 : COLS + 8;
    static constexpr int LEFT_SIZE = K_FAST ? ROWS * LEFT_ROW : STEP * LEFT_K;
    static constexpr int RIGHT_SIZE = K_FAST ? COLS * RIGHT_ROW : STEP * RIGHT_K;
    static constexpr int WARPS_ACROSS = COLS / 32, PATCH_ROWS = ROWS * WARPS_ACROSS / 8;
    static constexpr int DOWN = PATCH_ROWS / 16, ACROSS = 4;  // tensor-core tiles of 16x8 in a warp's patch

    float sum[DOWN][ACROSS][4];

    __device__ static int first_row() { return threadIdx.x / 32 / WARPS_ACROSS * PATCH_ROWS; }
    __device__ static int first_col() { return threadIdx.x / 32 % WARPS_ACROSS * 32; }

    // fetch(left, right) starts the copies of the next step's numbers into a stage; past the last, of zeros.
    template <class Fetch>
    __device__ void run(float* shared, int steps, Fetch fetch) {
        float* const left = shared;
        float* const right = shared + STAGES * LEFT_SIZE;
        #pragma unroll
        for (int i = 0; i < DOWN * ACROSS * 4; i++) sum[i / (ACROSS * 4)][i / 4 % ACROSS][i % 4] = 0;
        #pragma unroll
        for (int s = 0; s < STAGES - 1; s++) {
            fetch(left + s * LEFT_SIZE, right + s * RIGHT_SIZE);
            tm_cp_commit();
        }
        int next = STAGES - 1;
        for (int step = 0; step < steps; step++) {
            const int now = next + 1 == STAGES ? 0 : next + 1;
            tm_cp_wait<STAGES - 2>();  // all copies but the youngest group have landed: those of stage `now`,
            __syncthreads();           // and everybody's; nor does anybody still read stage `next`
            fetch(left + next * LEFT_SIZE, right + next * RIGHT_SIZE);
            tm_cp_commit();
            multiply(left + now * LEFT_SIZE, right + now * RIGHT_SIZE);
            next = now;  // it has been read
        }
    }

    // sum += left · rightᵀ over the k of one stage. A lane holds of each tile what mma.sync asks of it
    // (prims.cuh): of left the rows g, g + 8 at k = q, q + 4; of right the column g at the same k.
    __device__ void multiply(const float* left, const float* right) {
        const int lane = threadIdx.x % 32, g = lane / 4, q = lane % 4;
        left += (first_row() + g) * LEFT_ROW + q * LEFT_K;
        right += (first_col() + g) * RIGHT_ROW + q * RIGHT_K;
        #pragma unroll
        for (int k = 0; k < STEP; k += 8) {
            unsigned a[DOWN][4], b[ACROSS][2];
            #pragma unroll
            for (int i = 0; i < DOWN; i++) {
                const float* at = left + i * 16 * LEFT_ROW + k * LEFT_K;
                a[i][0] = tm_to_tf32(at[0]);
                a[i][1] = tm_to_tf32(at[8 * LEFT_ROW]);
                a[i][2] = tm_to_tf32(at[4 * LEFT_K]);
                a[i][3] = tm_to_tf32(at[8 * LEFT_ROW + 4 * LEFT_K]);
            }
            #pragma unroll
            for (int j = 0; j < ACROSS; j++) {
                const float* at = right + j * 8 * RIGHT_ROW + k * RIGHT_K;
                b[j][0] = tm_to_tf32(at[0]);
                b[j][1] = tm_to_tf32(at[4 * RIGHT_K]);
            }
            #pragma unroll
            for (int i = 0; i < DOWN; i++) {
                #pragma unroll
                for (int j = 0; j < ACROSS; j++) tm_mma_tf32(sum[i][j], a[i], b[j]);
            }
        }
    }

    // place(row) gives the address of a row's column 0, or null for no such row; finish(sum, column) goes in.
    // Two neighbours go in one 8-byte write where `even` says that every row starts at an even address.
    template <class Place, class Finish>
    __device__ void store(int row0, int col0, int cols, bool even, Place place, Finish finish) {
        const int lane = threadIdx.x % 32, g = lane / 4, q = lane % 4;
        #pragma unroll
        for (int i = 0; i < DOWN * 2; i++) {  // rows g and g + 8 of each tile
            float* const to = place(row0 + first_row() + i * 8 + g);
            if (!to) continue;
            #pragma unroll
            for (int j = 0; j < ACROSS; j++) {
                const int col = col0 + first_col() + j * 8 + q * 2;
                if (col >= cols) continue;
                const float one = finish(sum[i / 2][j][i % 2 * 2], col);
                if (col + 1 == cols) {
                    to[col] = one;
                } else if (const float two = finish(sum[i / 2][j][i % 2 * 2 + 1], col + 1); even) {
                    *(float2*)(to + col) = {one, two};
                } else {
                    to[col] = one;
                    to[col + 1] = two;
                }
            }
        }
    }
};

#endif
#endif
