// Softmax and its logarithm (article 3.1.2), on rows of C numbers: x (R,C) -> y (R,C), and the gradients.
//
//   y[c] = e^(x[c] − top) / Σ e^(x[c] − top),  top the largest of the row;     ∂L/∂x = y · (g − Σ g·y)
//   log: y[c] = x[c] − top − ln Σ e^(x[c] − top);                              ∂L/∂x = g − e^y · Σ g
//
// There is little to compute, and all depends on going through memory once. A team of TEAM threads takes a row
// and holds it in registers, HOLD packs of VEC numbers a thread, from the load to the store: neither the largest
// nor the sum costs another read. Up to 32 threads a team is a part of a warp and needs shuffles alone; above,
// it is a block. Where rows are so short that a thread has only a few numbers to wait for, a team loads ROWS
// rows before it computes: what keeps memory busy is how many bytes are on their way.
//
// A row longer than TEAM·HOLD·VEC is gone over in pieces, twice: first for the sum, which is multiplied by
// e^(old top − new top) whenever a piece has a larger top (the "online" softmax), then for the result. The
// second time most of it still lies in the cache.
//
// A row that holds NaN or +∞, or nothing but −∞, gives NaN, for 0/0 is none.
// Launch: blocks of TEAM threads where TEAM > 32, of 256 otherwise; as many as it takes for R rows. VEC > 1: C
// is a multiple of VEC, and addresses are of VEC numbers. ROWS > 1 only where TEAM <= 32 and a row is held.
#include "pack.cuh"

#ifndef TEAM
#define TEAM 32
#define VEC 1
#define HOLD 4
#define ROWS 2
#endif

constexpr int PIECE = TEAM * HOLD * VEC;           // of a row, in registers at once
constexpr int TEAMS = TEAM > 32 ? 1 : 256 / TEAM;  // in a block

struct Largest {
    static __device__ REAL of(REAL a, REAL b) { return tm_max(a, b); }
};
struct Sum {
    static __device__ REAL of(REAL a, REAL b) { return a + b; }
};

// Teams within a warp hold the whole row: known to the compiler, this saves registers.
#define EACH_PIECE(c) for (int c = 0; c < (TEAM > 32 ? C : 1); c += PIECE)
#define AGAIN (TEAM > 32 && C > PIECE)

// The whole of what the team's threads have, in the same order for every thread: all hold the same bits.
template <class Join>
__device__ REAL over_team(REAL v) {
    for (int apart = (TEAM > 32 ? 32 : TEAM) / 2; apart > 0; apart /= 2)
        v = Join::of(v, __shfl_xor_sync(TM_FULL_WARP, v, apart));
#if TEAM > 32
    __shared__ REAL of_warp[TEAM / 32];
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = v;
    __syncthreads();  // all have written
    v = of_warp[0];
    for (int warp = 1; warp < TEAM / 32; warp++) v = Join::of(v, of_warp[warp]);
    __syncthreads();  // all have read
#endif
    return v;
}

// The r-th of this team's rows: neighbouring teams take neighbouring rows, so that a warp's loads lie together.
__device__ __forceinline__ long long row_of(int r) {
    return ((long long)blockIdx.x * ROWS + r) * TEAMS + (TEAM > 32 ? 0 : threadIdx.x / TEAM);
}

// This thread's numbers of a piece of a row, which has `left` numbers from there on; none are read beyond.
struct Held {
    REAL at[HOLD][VEC];

    static __device__ __forceinline__ int place(int h) { return (h * TEAM + threadIdx.x % TEAM) * VEC; }

    __device__ __forceinline__ void load(const REAL* from, long long left, REAL beyond) {
#pragma unroll
        for (int h = 0; h < HOLD; h++) {
            Pack<REAL, VEC> p;
            const bool inside = place(h) < left;
            if (inside) p = pack<VEC>(from + place(h));
#pragma unroll
            for (int v = 0; v < VEC; v++) at[h][v] = inside ? p.at[v] : beyond;
        }
    }
    __device__ __forceinline__ void store(REAL* to, long long left) const {
#pragma unroll
        for (int h = 0; h < HOLD; h++) {
            Pack<REAL, VEC> p;
#pragma unroll
            for (int v = 0; v < VEC; v++) p.at[v] = at[h][v];
            if (place(h) < left) pack<VEC>(to + place(h)) = p;
        }
    }
};

#define EACH_HELD(h, v)                              \
    _Pragma("unroll") for (int h = 0; h < HOLD; h++) \
        _Pragma("unroll") for (int v = 0; v < VEC; v++)

extern "C" __global__ void softmax(int R, int C, int log, const REAL* __restrict__ x, REAL* __restrict__ y) {
    Held held[ROWS];
    REAL top[ROWS], total[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; r++) top[r] = -tm_infinity(), total[r] = 0;

    EACH_PIECE(c) {
#pragma unroll
        for (int r = 0; r < ROWS; r++)  // past the last row nothing is read, but all threads come along
            held[r].load(x + row_of(r) * C + c, row_of(r) < R ? C - c : 0, -tm_infinity());
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            REAL most = top[r], sum = 0;
            EACH_HELD(h, v) most = tm_max(most, held[r].at[h][v]);
            most = over_team<Largest>(most);
            EACH_HELD(h, v) {
                const REAL below = held[r].at[h][v] - most, e = tm_exp(below);
                sum += held[r].at[h][v] == -tm_infinity() ? REAL(0) : e;  // −∞ − (−∞), while all before is −∞ too
                held[r].at[h][v] = log ? below : e;
            }
            total[r] = total[r] * (top[r] == most ? REAL(1) : tm_exp(top[r] - most)) + over_team<Sum>(sum);
            top[r] = most;
        }
    }
    EACH_PIECE(c) {
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            if (AGAIN) {
                held[r].load(x + row_of(r) * C + c, C - c, -tm_infinity());
                EACH_HELD(h, v) {
                    const REAL below = held[r].at[h][v] - top[r];
                    held[r].at[h][v] = log ? below : tm_exp(below);
                }
            }
            const REAL by = log ? tm_log(total[r]) : 1 / total[r];
            EACH_HELD(h, v) held[r].at[h][v] = log ? held[r].at[h][v] - by : held[r].at[h][v] * by;
            held[r].store(y + row_of(r) * C + c, row_of(r) < R ? C - c : 0);
        }
    }
}

// gx from g and y, both (R,C).
extern "C" __global__ void softmax_grad(int R, int C, int log, const REAL* __restrict__ g,
                                        const REAL* __restrict__ y, REAL* __restrict__ gx) {
    Held into[ROWS], held[ROWS];
    REAL total[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; r++) total[r] = 0;

    EACH_PIECE(c) {
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            const long long at = row_of(r) * C + c, left = row_of(r) < R ? C - c : 0;
            into[r].load(g + at, left, 0);
            held[r].load(y + at, left, 0);
        }
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            REAL sum = 0;
            EACH_HELD(h, v) sum += log ? into[r].at[h][v] : into[r].at[h][v] * held[r].at[h][v];
            total[r] += over_team<Sum>(sum);
        }
    }
    EACH_PIECE(c) {
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            const long long at = row_of(r) * C + c;
            if (AGAIN) {
                into[r].load(g + at, C - c, 0);
                held[r].load(y + at, C - c, 0);
            }
            EACH_HELD(h, v) {
                const REAL y_c = held[r].at[h][v], g_c = into[r].at[h][v];
                into[r].at[h][v] = log ? g_c - tm_exp(y_c) * total[r] : y_c * (g_c - total[r]);
            }
            into[r].store(gx + at, row_of(r) < R ? C - c : 0);
        }
    }
}
