// Matrix product with exact arithmetic (no tensor cores), in float or, with -DREAL=double, in double.
//                                                                                        (article 3.1.2)
//
//     C[m,n] = Σ_k A[m,k] · B[k,n]     (+ C[m,n] where `add`)
//
// A (M,K) or, turned, stored as (K,M); B (K,N) or, turned, stored as (N,K).
// A stack of matrices: each begins so many numbers after the one before (step 0: the same for all).
// Launch: 256 threads; blocks (⌈N / TILE⌉, ⌈M / TILE⌉, matrices in the stack).
//
// A block computes TILE x TILE numbers of C, going along k in steps of 8. A thread computes PER x PER of them
// and keeps them in registers: each number that it reads from shared memory serves PER products. While a step
// is multiplied, the next step's numbers are already under way from memory into registers.
#include "prims.cuh"

#ifndef TILE
#define TILE (sizeof(REAL) == 4 ? 128 : 64)  // 32, 64 or 128: less where C is small gives more blocks
#endif

constexpr int THREADS = 256, STEP = 8;
constexpr int PER = TILE / 16;                             // a thread's rows and columns of C
constexpr int PACK = 16 / sizeof(REAL) < PER ? 16 / sizeof(REAL) : PER;
constexpr int PACKS = TILE * STEP / PACK;                  // in a step's share of A, or of B
constexpr int LOADS = (PACKS + THREADS - 1) / THREADS;     // of them a thread brings

struct alignas(PACK * sizeof(REAL)) Pack {  // what travels in one instruction, at best 16 bytes
    REAL at[PACK];
};

typedef REAL Tile[STEP][TILE + PACK];  // [k][row], so that a thread finds its rows side by side

__device__ void store(REAL* to, Pack sum, int room, bool aligned, bool add) {
    #pragma unroll
    for (int v = 0; v < PACK; v++) {
        if (add && v < room) sum.at[v] += to[v];
    }
    if (aligned) {
        *(Pack*)to = sum;
    } else {
        #pragma unroll
        for (int v = 0; v < PACK; v++) {
            if (v < room) to[v] = sum.at[v];
        }
    }
}

// Of a step's share of one factor: rows row0.. and k k0.., in registers on the way to shared memory.
// ALONG_K: neighbours in k are neighbours in memory (A as it is, B turned), else neighbours in the row are.
template <bool ALONG_K>
struct Share {
    Pack packs[LOADS];

    __device__ static int row(int i) { return ALONG_K ? i / (STEP / PACK) : i % (TILE / PACK) * PACK; }
    __device__ static int k(int i) { return ALONG_K ? i % (STEP / PACK) * PACK : i / (TILE / PACK); }

    __device__ void fetch(const REAL* from, int row0, int rows, int k0, int K) {
        const int pitch = ALONG_K ? K : rows;
        const bool aligned = pitch % PACK == 0 && (size_t)from % sizeof(Pack) == 0;
        #pragma unroll
        for (int l = 0; l < LOADS; l++) {
            const int i = threadIdx.x + l * THREADS, r = row0 + row(i), kk = k0 + k(i);
            const int left = ALONG_K ? (r < rows ? K - kk : 0) : (kk < K ? rows - r : 0);  // there are yet
            const REAL* at = from + (ALONG_K ? (long long)r * pitch + kk : (long long)kk * pitch + r);
            if (i >= PACKS) break;
            if (aligned && left >= PACK) {
                packs[l] = *(const Pack*)at;
            } else {
                #pragma unroll
                for (int v = 0; v < PACK; v++) packs[l].at[v] = v < left ? at[v] : REAL(0);
            }
        }
    }

    __device__ void put(Tile& tile) const {
        #pragma unroll
        for (int l = 0; l < LOADS; l++) {
            const int i = threadIdx.x + l * THREADS;
            if (i >= PACKS) break;
            if (ALONG_K) {
                #pragma unroll
                for (int v = 0; v < PACK; v++) tile[k(i) + v][row(i)] = packs[l].at[v];
            } else {
                *(Pack*)&tile[k(i)][row(i)] = packs[l];
            }
        }
    }
};

// a and b: two pairs of tiles of shared memory.
template <bool TURNED_A, bool TURNED_B>
__device__ void multiply(int M, int N, int K, const REAL* __restrict__ A, const REAL* __restrict__ B,
                         REAL* __restrict__ C, bool add, Tile* a, Tile* b) {
    const int m0 = blockIdx.y * TILE, n0 = blockIdx.x * TILE;
    const int down = threadIdx.x / 16 * PACK, across = threadIdx.x % 16 * PACK;  // where its first packs are
    Pack sum[PER][PER / PACK] = {};
    Share<!TURNED_A> next_a;
    Share<TURNED_B> next_b;
    next_a.fetch(A, m0, M, 0, K);
    next_b.fetch(B, n0, N, 0, K);
    for (int k0 = 0, now = 0; k0 < K; k0 += STEP, now ^= 1) {
        next_a.put(a[now]);
        next_b.put(b[now]);
        __syncthreads();  // one barrier a step is enough: the next step writes the other pair
        if (k0 + STEP < K) {
            next_a.fetch(A, m0, M, k0 + STEP, K);
            next_b.fetch(B, n0, N, k0 + STEP, K);
        }
        #pragma unroll
        for (int k = 0; k < STEP; k++) {
            Pack left[PER / PACK], right[PER / PACK];  // 16 · PACK apart: 16 threads' packs lie side by side
            #pragma unroll
            for (int i = 0; i < PER / PACK; i++) {
                left[i] = *(const Pack*)&a[now][k][i * 16 * PACK + down];
                right[i] = *(const Pack*)&b[now][k][i * 16 * PACK + across];
            }
            #pragma unroll
            for (int i = 0; i < PER; i++) {
                #pragma unroll
                for (int j = 0; j < PER; j++) {
                    const REAL product = left[i / PACK].at[i % PACK] * right[j / PACK].at[j % PACK];
                    sum[i][j / PACK].at[j % PACK] += product;
                }
            }
        }
    }
    const bool aligned = N % PACK == 0 && (size_t)C % sizeof(Pack) == 0;
    #pragma unroll
    for (int i = 0; i < PER; i++) {
        const int m = m0 + i / PACK * 16 * PACK + down + i % PACK;
        #pragma unroll
        for (int j = 0; j < PER / PACK; j++) {
            const int n = n0 + j * 16 * PACK + across;
            if (m < M && n < N) store(C + (long long)m * N + n, sum[i][j], N - n, aligned, add);
        }
    }
}

extern "C" __global__ void __launch_bounds__(256, 2)
gemm(int M, int N, int K, const REAL* __restrict__ A, int turned_a, long long step_a,
     const REAL* __restrict__ B, int turned_b, long long step_b, REAL* __restrict__ C, long long step_c,
     int add) {
    alignas(16) __shared__ Tile a[2], b[2];
    A += blockIdx.z * step_a;
    B += blockIdx.z * step_b;
    C += blockIdx.z * step_c;
    if (turned_a && turned_b) {
        multiply<true, true>(M, N, K, A, B, C, add, a, b);
    } else if (turned_a) {
        multiply<true, false>(M, N, K, A, B, C, add, a, b);
    } else if (turned_b) {
        multiply<false, true>(M, N, K, A, B, C, add, a, b);
    } else {
        multiply<false, false>(M, N, K, A, B, C, add, a, b);
    }
}
