// Convolution and its gradients on the tensor cores (TF32), on images with channels last.     (article 4.1.1)
//
//     y[n,i,j,o]  = b[o] + Σ_u Σ_v Σ_c  w[o,u,v,c] · x[n, i·s+u·d−p, j·s+v·d−p, c]
//     gx[n,h,q,c] =        Σ_u Σ_v Σ_o  w[o,u,v,c] · g[n, (h+p−u·d)/s, (q+p−v·d)/s, o]    for whole quotients
//     gw[o,u,v,c] =        Σ_n Σ_i Σ_j  g[n,i,j,o] · x[n, i·s+u·d−p, j·s+v·d−p, c]
//
// Each is one matrix product (conv.cuh): its rows and columns are what stands left, its k what is summed
// over. Channels last means that neighbours in c (or o) are neighbours in memory, so one 16-byte copy brings
// four of them.
//
// Launch: 256 threads; blocks as said at each kernel; dynamic shared memory of 3 stages (STEP 16: 4 bytes
// times 3·20·(128 + COLS), for gw 3·16·(144 + COLS)). VEC=1 where C/g (for gx O/g, for gw either) is no
// multiple of 4.
// A linear layer is a convolution of one row: N = H = 1, W its rows, K = 1.
#include "conv.cuh"

// w (O,C/g,KH,KW), as in PyTorch → (O,KH,KW,C/g); or turned for the input gradient → (C,KH,KW,O/g).
extern "C" __global__ void conv2d_pack(ConvShape s, int turned, const float* __restrict__ w,
                                       float* __restrict__ out) {
    const int CG = s.C / s.G, OG = s.O / s.G, taps = s.KH * s.KW, inner = turned ? OG : CG;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < s.O * CG * taps; i += gridDim.x * blockDim.x) {
        const int low = i % inner, tap = i / inner % taps, row = i / inner / taps;  // row: o, or a c of all
        const int o = turned ? row / CG * OG + low : row, c = turned ? row % CG : low;
        out[i] = w[(o * CG + c) * taps + tap];
    }
}

#if defined(TM_CPU) || __CUDA_ARCH__ >= 800

// Along one axis: result i reads place i·stride + t·step + base of the source through its tap t, which is the
// kernel's tap first + t·every; it stands at place from + i·apart of the result.
struct Axis {
    int count, stride, step, base, taps, first, every, from, apart, size, result_size;
};

__device__ Axis forward_axis(int size, int K, int out, int S, int P, int D) {
    return {out, S, D, -P, K, 0, 1, 0, 1, size, out};
}

// Of the input gradient one phase: the places h = a, a + S, a + 2S, ... All of them read through the same
// taps u, those for which h + P − u·D is a multiple of S: a plain convolution of stride 1, in which no
// product is spent on a zero.
__device__ Axis phase_axis(int a, int size, int K, int out, int S, int P, int D) {
    int first = 0, every = 1;
    while (first < K && (a + P - first * D) % S) first++;
    while (every * D % S) every++;
    const int taps = first < K ? (K - 1 - first) / every + 1 : 0;
    const int count = a < size ? (size - a - 1) / S + 1 : 0;
    return {count, 1, -(every * D / S), (a + P - first * D) / S, taps, first, every, a, S, out, size};
}

// result[m, n] = Σ_k source[place of m and k] · weights[n, k],  m = (image, i, j), k = (u, v, channel in)
__device__ void convolve(int N, Axis h, Axis w, int KH, int KW, int group, int inner, int source_pitch,
                         int outer, int result_pitch, const float* __restrict__ source,
                         const float* __restrict__ weights, const float* __restrict__ bias, float low,
                         float high, float* __restrict__ result, float* shared) {
    typedef Product<true> P;
    constexpr int LINE = STEP / VEC, APART = THREADS / LINE;  // threads along k; rows brought at once
    constexpr int LEFT = ROWS / APART, RIGHT = (COLS + APART - 1) / APART;
    const int pixels = N * h.count * w.count, row0 = blockIdx.x * ROWS, col0 = blockIdx.y * COLS;
    if (row0 >= pixels) return;  // the phases differ in size
    const int k0 = threadIdx.x % LINE * VEC, row = threadIdx.x / LINE;

    int h0[LEFT], w0[LEFT];  // the place that row i reads through tap 0
    const float* from[LEFT];
    #pragma unroll
    for (int i = 0; i < LEFT; i++) {
        const int m = row0 + row + i * APART, j = m % w.count, rest = m / w.count;
        h0[i] = m < pixels ? rest % h.count * h.stride + h.base : -(1 << 30);  // no tap leads back inside
        w0[i] = j * w.stride + w.base;
        const long long pixel = ((long long)(rest / h.count) * h.size + h0[i]) * w.size + w0[i];
        from[i] = source + pixel * source_pitch + group * inner;
    }
    const int of = ((group * outer + col0 + row) * KH * KW + h.first * KW + w.first) * inner;
    const int next_row = APART * KH * KW * inner, of_u = h.every * KW * inner, of_v = w.every * inner;

    const int steps = (h.taps * w.taps * inner + STEP - 1) / STEP;
    if (!w.taps) h.taps = 0, w.taps = 1;
    Milometer k(k0, w.taps, inner);
    auto fetch = [&](float* left, float* right) {
        const bool live = k.high < h.taps;  // else past the last k
        const int dh = k.high * h.step, dw = k.mid * w.step;
        const int shift = (dh * w.size + dw) * source_pitch + k.low;
        #pragma unroll
        for (int i = 0; i < LEFT; i++) {
            const bool inside = (unsigned)(h0[i] + dh) < (unsigned)h.size &&  // as unsigned, −1 is large
                                (unsigned)(w0[i] + dw) < (unsigned)w.size;
            copy(left + (row + i * APART) * P::LEFT_ROW + k0, from[i] + shift, live && inside);
        }
        const float* at = weights + (of + k.high * of_u + k.mid * of_v + k.low);
        #pragma unroll
        for (int i = 0; i < RIGHT; i++, at += next_row) {
            const int n = row + i * APART;
            if (COLS % APART && n >= COLS) break;
            copy(right + n * P::RIGHT_ROW + k0, at, live && col0 + n < outer);
        }
        k.advance(STEP);
    };

    P product;
    product.run(shared, steps, fetch);
    result += ((long long)h.from * w.result_size + w.from) * result_pitch + group * outer;
    bias += bias ? group * outer : 0;
    product.store(
        row0, col0, outer, result_pitch % 2 == 0 && outer % 2 == 0,
        [&](int m) -> float* {
            const int j = m % w.count, rest = m / w.count, i = rest % h.count, n = rest / h.count;
            const long long y = (long long)n * h.result_size + i * h.apart;
            return m < pixels ? result + (y * w.result_size + j * w.apart) * result_pitch : 0;
        },
        [&](float sum, int n) {
            sum += bias ? bias[n] : 0;
            return sum < low ? low : sum > high ? high : sum;  // NaN stays
        });
}

// y = conv(x, w) + b, kept between low and high: −∞ and ∞ for none, 0 and ∞ for ReLU, 0 and 6 for ReLU6.
// w (O,KH,KW,C/g); blocks (⌈N·OH·OW / 128⌉, ⌈O/g / COLS⌉, g)
extern "C" __global__ void __launch_bounds__(256, BLOCKS)
conv2d(ConvShape s, const float* __restrict__ x, const float* __restrict__ w, const float* __restrict__ b,
       float low, float high, float* __restrict__ y) {
    extern __shared__ float shared[];
    const Axis h = forward_axis(s.H, s.KH, s.OH, s.SH, s.PH, s.DH);
    const Axis v = forward_axis(s.W, s.KW, s.OW, s.SW, s.PW, s.DW);
    const int group = blockIdx.z;
    convolve(s.N, h, v, s.KH, s.KW, group, s.C / s.G, s.C, s.O / s.G, s.O, x, w, b, low, high, y, shared);
}

// w turned (C,KH,KW,O/g); blocks (⌈N · ⌈H/SH⌉ · ⌈W/SW⌉ / 128⌉, ⌈C/g / COLS⌉, g · SH · SW), one z a phase
extern "C" __global__ void __launch_bounds__(256, BLOCKS)
conv2d_input_grad(ConvShape s, const float* __restrict__ g, const float* __restrict__ w,
                  float* __restrict__ gx) {
    extern __shared__ float shared[];
    const int phase = blockIdx.z % (s.SH * s.SW), group = blockIdx.z / (s.SH * s.SW);
    const Axis h = phase_axis(phase / s.SW, s.H, s.KH, s.OH, s.SH, s.PH, s.DH);
    const Axis v = phase_axis(phase % s.SW, s.W, s.KW, s.OW, s.SW, s.PW, s.DW);
    const float inf = tm_infinity();
    convolve(s.N, h, v, s.KH, s.KW, group, s.O / s.G, s.O, s.C / s.G, s.C, g, w, 0, -inf, inf, gx, shared);
}

// Few results, long sums: so each sum is cut into `slices`, and conv2d_weight_grad_sum adds them up.
// part (slices,g,KH·KW·C/g,O/g); blocks (⌈KH·KW·C/g / 128⌉, ⌈O/g / COLS⌉, g · slices)
extern "C" __global__ void __launch_bounds__(256, BLOCKS)
conv2d_weight_grad(ConvShape s, int slices, const float* __restrict__ x, const float* __restrict__ g,
                   float* __restrict__ part) {
    typedef Product<false> P;
    extern __shared__ float shared[];
    constexpr int LINE = ROWS / VEC, APART = THREADS / LINE;  // threads along rows; pixels brought at once
    constexpr int RLINE = COLS / VEC, RAPART = THREADS / RLINE;
    const int CG = s.C / s.G, OG = s.O / s.G, group = blockIdx.z % s.G, slice = blockIdx.z / s.G;
    const int rows = s.KH * s.KW * CG, row0 = blockIdx.x * ROWS, col0 = blockIdx.y * COLS;
    const int pixels = s.N * s.OH * s.OW, steps = ((pixels + slices - 1) / slices + STEP - 1) / STEP;
    const int begin = slice * steps * STEP;

    const int row = threadIdx.x % LINE * VEC, r = row0 + row, c = r % CG;  // of x: always one tap and channel
    const int u = r / CG / s.KW * s.DH - s.PH, v = r / CG % s.KW * s.DW - s.PW;
    const int col = threadIdx.x % RLINE * VEC;  // of g: always one channel
    int left_k = threadIdx.x / LINE, right_k = threadIdx.x / RLINE;
    const int k0 = left_k, right_k0 = right_k;
    left_k += begin, right_k += begin;
    Milometer p(left_k, s.OH, s.OW);  // (n, i, j)
    auto fetch = [&](float* left, float* right) {
        #pragma unroll
        for (int i = 0; i < STEP; i += APART) {
            const int h = p.mid * s.SH + u, w = p.low * s.SW + v;
            const bool inside = (unsigned)h < (unsigned)s.H && (unsigned)w < (unsigned)s.W;
            const float* at = x + ((long long)(p.high * s.H + h) * s.W + w) * s.C + group * CG + c;
            copy(left + (k0 + i) * P::LEFT_K + row, at, inside && r < rows && left_k + i < pixels);
            p.advance(APART);
        }
        left_k += STEP;
        #pragma unroll
        for (int i = 0; i < STEP; i += RAPART) {
            if (right_k0 + i >= STEP) break;
            const float* at = g + (long long)(right_k + i) * s.O + group * OG + col0 + col;
            copy(right + (right_k0 + i) * P::RIGHT_K + col, at, col0 + col < OG && right_k + i < pixels);
        }
        right_k += STEP;
    };

    P product;
    product.run(shared, steps, fetch);
    float* const to = part + ((long long)slice * s.G + group) * rows * OG;
    product.store(
        row0, col0, OG, OG % 2 == 0, [&](int r) -> float* { return r < rows ? to + (long long)r * OG : 0; },
        [](float sum, int) { return sum; });
}

#endif

// gw (O,C/g,KH,KW), as in PyTorch: the slices added up, always in the same order: every run gives the same.
extern "C" __global__ void conv2d_weight_grad_sum(ConvShape s, int slices, const float* __restrict__ part,
                                                  float* __restrict__ gw) {
    const int CG = s.C / s.G, OG = s.O / s.G, taps = s.KH * s.KW, size = s.O * CG * taps;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < size; i += gridDim.x * blockDim.x) {
        float sum = 0;
        for (int k = 0; k < slices; k++) sum += part[(long long)k * size + i];
        const int o = i % OG, c = i / OG % CG, tap = i / OG / CG % taps, group = i / OG / CG / taps;
        gw[((group * OG + o) * CG + c) * taps + tap] = sum;
    }
}
