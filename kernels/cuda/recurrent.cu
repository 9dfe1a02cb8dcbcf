// One time step of the recurrent layers (article 4.2; LSTM, GRU), after its two products, and one step back.
//
// Before a step stand from_x = W_ih·x_t (of all t by one product) and from_h = W_hh·h_{t−1}; a step back
// leaves da, from which one product makes dh = da·W_hh for the step before. Everything in between is
// here, in one launch a step. A thread owns unit j of sample n and reads its gates, nobody else's. Rows
// are (N, gates·H): gate q of unit j stands at q·H + j, so neighbouring threads read neighbouring
// numbers. A step is some thousand numbers: what counts is the launch and threads enough to fill the
// device, so each takes one number at a time.
#include "prims.cuh"

#define EACH_UNIT(k, N, H)                                                                     \
    for (long long k = blockIdx.x * (long long)blockDim.x + threadIdx.x; k < (long long)N * H; \
         k += (long long)gridDim.x * blockDim.x)

// ------------------------------------------------------------------------------------------ plain RNN
// h = φ(from_x + b_ih + from_h + b_hh);  φ is tanh, or relu where `relu` is 1.  from_x may be h's own memory.

extern "C" __global__ void rnn_cell(int N, int H, int relu, const REAL* from_x, const REAL* from_h,
                                    const REAL* b_ih, const REAL* b_hh, REAL* h) {
    EACH_UNIT(k, N, H) {
        int j = k % H;
        REAL a = from_x[k] + b_ih[j] + from_h[k] + b_hh[j];
        h[k] = relu ? (a < 0 ? REAL(0) : a) : tm_tanh(a);  // NaN stays NaN
    }
}

// da = (g + dh) · φ′;  tanh′ = 1 − h², relu′ = 1 where h > 0.  dh (N,H) flows back from the step after.
extern "C" __global__ void rnn_cell_grad(int N, int H, int relu, const REAL* g, const REAL* dh, const REAL* h,
                                         REAL* da) {
    EACH_UNIT(k, N, H) {
        REAL slope = relu ? REAL(h[k] > 0) : 1 - h[k] * h[k];
        da[k] = (g[k] + dh[k]) * slope;
    }
}

// ------------------------------------------------------------------------------------------ LSTM
// i, f, o = σ(·), g = tanh(·);  c = f∘c_before + i∘g,  h = o∘tanh(c).
// gates (N,4H) = i f g o; they may be from_x's own memory.

extern "C" __global__ void lstm_cell(int N, int H, const REAL* from_x, const REAL* from_h, const REAL* b_ih,
                                     const REAL* b_hh, const REAL* c_before, REAL* gates, REAL* c, REAL* h) {
    EACH_UNIT(k, N, H) {
        int j = k % H;
        long long row = k / H * 4 * H + j;
        REAL a[4];
        for (int q = 0; q < 4; q++)
            a[q] = from_x[row + q * H] + b_ih[q * H + j] + from_h[row + q * H] + b_hh[q * H + j];
        REAL i = sigmoid(a[0]);  // how much of the new enters the memory
        REAL f = sigmoid(a[1]);  // how much of the old stays
        REAL g = tm_tanh(a[2]);  // the new
        REAL o = sigmoid(a[3]);  // how much of the memory is shown
        gates[row] = i, gates[row + H] = f, gates[row + 2 * H] = g, gates[row + 3 * H] = o;
        c[k] = f * c_before[k] + i * g;
        h[k] = o * tm_tanh(c[k]);
    }
}

// gh and gc (N,H) flow into this step's h and c (gc may be null), dh and dc come from the step
// after; σ′ = σ(1 − σ). → da (N,4H), and in dc what flows on to the step before.
extern "C" __global__ void lstm_cell_grad(int N, int H, const REAL* gh, const REAL* gc, const REAL* dh,
                                          const REAL* gates, const REAL* c_before, const REAL* c, REAL* dc,
                                          REAL* da) {
    EACH_UNIT(k, N, H) {
        long long row = k / H * 4 * H + k % H;
        REAL i = gates[row], f = gates[row + H], g = gates[row + 2 * H], o = gates[row + 3 * H];
        REAL tanh_c = tm_tanh(c[k]);
        REAL into_h = gh[k] + dh[k];
        REAL into_c = dc[k] + into_h * o * (1 - tanh_c * tanh_c) + (gc ? gc[k] : REAL(0));
        da[row] = into_c * g * i * (1 - i);
        da[row + H] = into_c * c_before[k] * f * (1 - f);
        da[row + 2 * H] = into_c * i * (1 - g * g);
        da[row + 3 * H] = into_h * tanh_c * o * (1 - o);
        dc[k] = into_c * f;  // no weight in between: this road keeps gradients alive
    }
}

// ------------------------------------------------------------------------------------------ GRU
// r, z = σ(·);  m = W_hn·h_before + b_hn,  n = tanh(W_in·x + b_in + r∘m),  h = (1 − z)∘n + z∘h_before.
// from_x, from_h (N,3H) = r z n;  gates (N,4H) = r z n m.

extern "C" __global__ void gru_cell(int N, int H, const REAL* from_x, const REAL* from_h, const REAL* b_ih,
                                    const REAL* b_hh, const REAL* h_before, REAL* gates, REAL* h) {
    EACH_UNIT(k, N, H) {
        int j = k % H;
        long long row = k / H * 3 * H + j, out = k / H * 4 * H + j;
        REAL of_x[3], of_h[3];
        for (int q = 0; q < 3; q++) {
            of_x[q] = from_x[row + q * H] + b_ih[q * H + j];
            of_h[q] = from_h[row + q * H] + b_hh[q * H + j];
        }
        REAL r = sigmoid(of_x[0] + of_h[0]);  // how much of the past the proposal sees
        REAL z = sigmoid(of_x[1] + of_h[1]);  // how much of the past stays
        REAL m = of_h[2];
        REAL n = tm_tanh(of_x[2] + r * m);  // the proposal
        gates[out] = r, gates[out + H] = z, gates[out + 2 * H] = n, gates[out + 3 * H] = m;
        h[k] = (1 - z) * n + z * h_before[k];
    }
}

// g (N,H) into this step's h; dh = da_h·W_hh and `past` came from the step after: h has two roads back,
// through the product and straight through z. → da_x, da_h (N,3H), and in `past` what flows on straight.
extern "C" __global__ void gru_cell_grad(int N, int H, const REAL* g, const REAL* dh, const REAL* gates,
                                         const REAL* h_before, REAL* past, REAL* da_x, REAL* da_h) {
    EACH_UNIT(k, N, H) {
        long long in = k / H * 4 * H + k % H, row = k / H * 3 * H + k % H;
        REAL r = gates[in], z = gates[in + H], n = gates[in + 2 * H], m = gates[in + 3 * H];
        REAL into_h = g[k] + dh[k] + past[k];
        REAL da_n = into_h * (1 - z) * (1 - n * n);
        REAL da_r = da_n * m * r * (1 - r);
        REAL da_z = into_h * (h_before[k] - n) * z * (1 - z);
        da_x[row] = da_r, da_x[row + H] = da_z, da_x[row + 2 * H] = da_n;
        da_h[row] = da_r, da_h[row + H] = da_z, da_h[row + 2 * H] = da_n * r;  // r multiplies the product
        past[k] = into_h * z;
    }
}
