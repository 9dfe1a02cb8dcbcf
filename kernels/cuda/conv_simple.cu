// Convolution and its gradients as on paper, one thread for each result: read this before conv.cu.
//
//     y[n,i,j,o]  = b[o] + Σ_c Σ_u Σ_v  w[o,c,u,v] · x[n, i·s+u·d−p, j·s+v·d−p, c]            (article 4.1.1)
//     gx[n,h,q,c] =        Σ_o Σ_u Σ_v  w[o,c,u,v] · g[n, (h+p−u·d)/s, (q+p−v·d)/s, o]    for whole quotients
//     gw[o,c,u,v] =        Σ_n Σ_i Σ_j  g[n,i,j,o] · x[n, i·s+u·d−p, j·s+v·d−p, c]
//
// Exact arithmetic in float or, with -DREAL=double, in double; images with channels last, weights as in
// PyTorch. It also serves depthwise convolutions, which have one channel a group and nothing for a matrix
// product to use twice. Neighbouring threads have neighbouring channels: they read and write side by side in
// memory.
#include "conv_shape.cuh"
#include "prims.cuh"

// b may be null. y is kept between low and high: −∞ and ∞ for none, 0 and ∞ for ReLU, 0 and 6 for ReLU6.
extern "C" __global__ void conv2d_simple(ConvShape s, const REAL* x, const REAL* w, const REAL* b, REAL low,
                                         REAL high, REAL* y) {
    const int CG = s.C / s.G, OG = s.O / s.G;
    const long long results = (long long)s.N * s.OH * s.OW * s.O, threads = (long long)gridDim.x * blockDim.x;
    for (long long t = (long long)blockIdx.x * blockDim.x + threadIdx.x; t < results; t += threads) {
        const int o = t % s.O, j = t / s.O % s.OW, i = t / s.O / s.OW % s.OH, n = t / s.O / s.OW / s.OH;
        REAL sum = b ? b[o] : 0;
        for (int u = 0; u < s.KH; u++) {
            const int h = i * s.SH + u * s.DH - s.PH;
            if (h < 0 || h >= s.H) continue;  // padding is 0 and adds nothing
            for (int v = 0; v < s.KW; v++) {
                const int q = j * s.SW + v * s.DW - s.PW;
                if (q < 0 || q >= s.W) continue;
                const REAL* pixel = x + (((long long)n * s.H + h) * s.W + q) * s.C + o / OG * CG;
                for (int c = 0; c < CG; c++) sum += w[((o * CG + c) * s.KH + u) * s.KW + v] * pixel[c];
            }
        }
        y[t] = sum < low ? low : sum > high ? high : sum;  // NaN stays
    }
}

extern "C" __global__ void conv2d_input_grad_simple(ConvShape s, const REAL* g, const REAL* w, REAL* gx) {
    const int CG = s.C / s.G, OG = s.O / s.G;
    const long long results = (long long)s.N * s.H * s.W * s.C, threads = (long long)gridDim.x * blockDim.x;
    for (long long t = (long long)blockIdx.x * blockDim.x + threadIdx.x; t < results; t += threads) {
        const int c = t % s.C, q = t / s.C % s.W, h = t / s.C / s.W % s.H, n = t / s.C / s.W / s.H;
        REAL sum = 0;
        for (int u = 0; u < s.KH; u++) {
            const int i = (h + s.PH - u * s.DH) / s.SH;  // the y that read this x through tap u, if any did
            if (h + s.PH < u * s.DH || i >= s.OH || i * s.SH + u * s.DH - s.PH != h) continue;
            for (int v = 0; v < s.KW; v++) {
                const int j = (q + s.PW - v * s.DW) / s.SW;
                if (q + s.PW < v * s.DW || j >= s.OW || j * s.SW + v * s.DW - s.PW != q) continue;
                const int first = c / CG * OG;
                const REAL* pixel = g + (((long long)n * s.OH + i) * s.OW + j) * s.O + first;
                const REAL* tap = w + (((long long)first * CG + c % CG) * s.KH + u) * s.KW + v;
                for (int o = 0; o < OG; o++) sum += tap[o * CG * s.KH * s.KW] * pixel[o];
            }
        }
        gx[t] = sum;
    }
}

// A thread for each weight would be few threads with long sums. So the pixels are cut into `slices`, a thread
// sums one slice for one weight into part (slices,O,KH,KW,C/g), and conv2d_weight_grad_simple_sum adds the
// slices up.
extern "C" __global__ void conv2d_weight_grad_simple(ConvShape s, int slices, const REAL* x, const REAL* g,
                                                     REAL* part) {
    const int CG = s.C / s.G, OG = s.O / s.G, pixels = s.N * s.OH * s.OW;
    const int length = (pixels + slices - 1) / slices;
    const long long results = (long long)slices * s.O * s.KH * s.KW * CG;
    const long long threads = (long long)gridDim.x * blockDim.x;
    for (long long t = (long long)blockIdx.x * blockDim.x + threadIdx.x; t < results; t += threads) {
        const int c = t % CG, v = t / CG % s.KW, u = t / CG / s.KW % s.KH, o = t / CG / s.KW / s.KH % s.O;
        const int begin = t / CG / s.KW / s.KH / s.O * length, end = min(begin + length, pixels);
        REAL sum = 0;
        for (int p = begin; p < end; p++) {
            const int h = p / s.OW % s.OH * s.SH + u * s.DH - s.PH, q = p % s.OW * s.SW + v * s.DW - s.PW;
            if (h < 0 || h >= s.H || q < 0 || q >= s.W) continue;
            const long long pixel = ((long long)(p / s.OW / s.OH) * s.H + h) * s.W + q;
            sum += g[(long long)p * s.O + o] * x[pixel * s.C + o / OG * CG + c];
        }
        part[t] = sum;
    }
}

// Always in the same order: additions that race each other would give other last digits in every run.
extern "C" __global__ void conv2d_weight_grad_simple_sum(ConvShape s, int slices, const REAL* part,
                                                         REAL* gw) {
    const int CG = s.C / s.G, taps = s.KH * s.KW, size = s.O * taps * CG;
    for (int t = blockIdx.x * blockDim.x + threadIdx.x; t < size; t += gridDim.x * blockDim.x) {
        const int c = t % CG, tap = t / CG % taps, o = t / CG / taps;
        REAL sum = 0;
        for (int k = 0; k < slices; k++) sum += part[(long long)k * size + t];
        gw[(o * CG + c) * taps + tap] = sum;
    }
}
