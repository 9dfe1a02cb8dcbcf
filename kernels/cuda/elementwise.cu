// What follows a convolution, in one pass (article 1.4.3, ReLU6-Conv-Pool): x (N,H,W,C), b (C).
//
//   bias_clamp              y = min(max(x + b, low), high)
//   bias_clamp_max_pool2d   y = min(max(the largest of a KH x KW window of x + b, low), high)
//
// ReLU's bounds are 0 and ∞, ReLU6's 0 and 6. The largest of bounded numbers is the largest, bounded. `where`
// is the winner's u·KW + v, or DEAD where a bound cut it off and no gradient passes. The gradients go back
// the same way, and the bias receives what passed, summed over all places.
//
// Three passes over memory are one here: the convolution's result is read once, and only the pooled quarter
// is written. A thread takes V neighbouring channels: 16 bytes where C allows, else a single one.
#include "pack.cuh"

#define DEAD 255  // tinymed.kernels.shapes.DEAD: no window has so many cells

__device__ REAL clamp(REAL x, REAL low, REAL high) {
    return x <= low ? low : x >= high ? high : x;  // NaN stays
}

// Whether a bound holds the gradient back. An infinite bound is none, and NaN passes.
__device__ bool cut(REAL y, REAL low, REAL high) {
    return (y <= low && low > -tm_infinity()) || (y >= high && high < tm_infinity());
}

// ------------------------------------------------------------------------------------------ without pooling

template <int V>
__device__ void bounded(long long all, int C, const REAL* x, const REAL* b, REAL low, REAL high, REAL* y) {
    EACH_PACK(at, V, all) {
        Pack<REAL, V> sum = pack<V>(x + at), bias = pack<V>(b + at % C);
        for (int k = 0; k < V; k++) sum.at[k] = clamp(sum.at[k] + bias.at[k], low, high);
        pack<V>(y + at) = sum;
    }
}

// `all` = N·H·W·C numbers. y may be x.
extern "C" __global__ void bias_clamp(long long all, int C, const REAL* x, const REAL* b, REAL low, REAL high,
                                      REAL* y) {
    bool in_packs = C % WIDE == 0 && aligned(x, b, y);
    in_packs ? bounded<WIDE>(all, C, x, b, low, high, y) : bounded<1>(all, C, x, b, low, high, y);
}

// gx = g where no bound cut it off, else 0. gx may be g.
template <int V>
__device__ void bounded_grad(long long from, long long all, const REAL* g, const REAL* y, REAL low, REAL high,
                             REAL* gx) {
    EACH_PACK(at, V, all - from) {
        Pack<REAL, V> into = pack<V>(g + from + at), out = pack<V>(y + from + at);
        for (int k = 0; k < V; k++) into.at[k] = cut(out.at[k], low, high) ? REAL(0) : into.at[k];
        pack<V>(gx + from + at) = into;
    }
}

extern "C" __global__ void bias_clamp_grad(long long all, const REAL* g, const REAL* y, REAL low, REAL high,
                                           REAL* gx) {
    long long wide = aligned(g, y, gx) ? all / WIDE * WIDE : 0;  // the tail fills no pack
    bounded_grad<WIDE>(0, wide, g, y, low, high, gx);
    bounded_grad<1>(wide, all, g, y, low, high, gx);
}

// ------------------------------------------------------------------------------------------ with pooling

// x (N,H,W,C) in windows of KH x KW side by side → y (N,OH,OW,C); what is left over at the edges is not used
struct Tiles {
    int N, C, H, W, KH, KW, OH, OW;
};

template <int V>
__device__ void pooled(const Tiles& s, const REAL* x, const REAL* b, REAL low, REAL high, REAL* y,
                       unsigned char* where) {
    EACH_PACK(at, V, (long long)s.N * s.OH * s.OW * s.C) {
        int c = at % s.C, j = at / s.C % s.OW;
        long long row = at / s.C / s.OW;  // n·OH + i
        const REAL* corner = x + ((row / s.OH * s.H + row % s.OH * s.KH) * s.W + j * s.KW) * s.C + c;
        Pack<REAL, V> best, bias = pack<V>(b + c);
        Pack<unsigned char, V> tap;
        for (int u = 0; u < s.KH; u++)
            for (int v = 0; v < s.KW; v++) {
                Pack<REAL, V> cell = pack<V>(corner + ((long long)u * s.W + v) * s.C);
                for (int k = 0; k < V; k++) {
                    REAL a = cell.at[k] + bias.at[k];  // before comparing: what was apart may round to a tie
                    if (u + v == 0 || a > best.at[k] || a != a) best.at[k] = a, tap.at[k] = u * s.KW + v;
                }
            }
        for (int k = 0; k < V; k++) {
            if (cut(best.at[k], low, high)) tap.at[k] = DEAD;
            best.at[k] = clamp(best.at[k], low, high);
        }
        pack<V>(y + at) = best;
        pack<V>(where + at) = tap;
    }
}

extern "C" __global__ void bias_clamp_max_pool2d(Tiles s, const REAL* x, const REAL* b, REAL low, REAL high,
                                                 REAL* y, unsigned char* where) {
    bool in_packs = s.C % WIDE == 0 && aligned(x, b, y, where);
    in_packs ? pooled<WIDE>(s, x, b, low, high, y, where) : pooled<1>(s, x, b, low, high, y, where);
}

// gx (N,H,W,C) = g where the cell won its window and no bound was met, else 0; a cell has one window at most.
template <int V>
__device__ void pooled_grad(const Tiles& s, const REAL* g, const unsigned char* where, REAL* gx) {
    EACH_PACK(at, V, (long long)s.N * s.H * s.W * s.C) {
        int c = at % s.C, q = at / s.C % s.W;
        long long row = at / s.C / s.W;  // n·H + h
        int h = row % s.H, i = h / s.KH, j = q / s.KW;
        Pack<REAL, V> out = {};
        if (i < s.OH && j < s.OW) {
            long long from = ((row / s.H * s.OH + i) * s.OW + j) * s.C + c;
            Pack<REAL, V> into = pack<V>(g + from);
            Pack<unsigned char, V> tap = pack<V>(where + from);
            for (int k = 0; k < V; k++)
                if (tap.at[k] == h % s.KH * s.KW + q % s.KW) out.at[k] = into.at[k];
        }
        pack<V>(gx + at) = out;
    }
}

extern "C" __global__ void bias_clamp_max_pool2d_grad(Tiles s, const REAL* g, const unsigned char* where,
                                                      REAL* gx) {
    bool in_packs = s.C % WIDE == 0 && aligned(g, where, gx);
    in_packs ? pooled_grad<WIDE>(s, g, where, gx) : pooled_grad<1>(s, g, where, gx);
}

// ------------------------------------------------------------------------------------------ the bias
// gb[c] = Σ over R rows of g[r,c] where `where` is not DEAD (null: everywhere). In two steps, always in the
// same order: no atomic additions. Launch blocks of 32 x 8: block (x, y) sums channels 32·x … of every
// gridDim.y-th eight rows, into slabs (gridDim.y, C).

extern "C" __global__ void bias_grad(int R, int C, const REAL* g, const unsigned char* where, REAL* slabs) {
    __shared__ REAL sums[8][32];
    int c = blockIdx.x * 32 + threadIdx.x;
    REAL sum = 0;
    if (c < C)
        for (long long r = blockIdx.y * 8 + threadIdx.y; r < R; r += gridDim.y * 8)
            if (!where || where[r * C + c] != DEAD) sum += g[r * C + c];
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || c >= C) return;
    for (int k = 1; k < 8; k++) sum += sums[k][threadIdx.x];
    slabs[(long long)blockIdx.y * C + c] = sum;
}

// gb (C) = Σ slabs (S,C), a thread to a channel.
extern "C" __global__ void bias_grad_sum(int S, int C, const REAL* slabs, REAL* gb) {
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= C) return;
    REAL sum = 0;
    for (int k = 0; k < S; k++) sum += slabs[(long long)k * C + c];
    gb[c] = sum;
}
