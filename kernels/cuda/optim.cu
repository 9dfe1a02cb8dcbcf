// Optimiser updates: all parameters of a model in one launch. kernels/reference_optim.py has the formulas.
//
// A model has many small parameters: a launch for each would cost more than its work. So a table in device
// memory cuts the parameters into chunks of some thousand numbers, and a block takes one chunk after another.
// The options (learning rate, …) and the step's number lie in device memory too, so that a captured graph,
// replayed, follows its schedule and counts on:
//
//   chunks   Chunk[count]: the addresses. g is null where a parameter has no gradient: it keeps still
//   options  a row for each group of parameters, all numbers of type REAL
//   steps    int[count], at first 0: how many steps each chunk has made. Its block alone reads and advances
//            it, so none can see the next step's number too early
//
// Memory is all that counts here (Adam: 28 bytes for a dozen operations), so each load takes 16
// where addresses allow. Factors such as 1 − β come worked out in double and rounded once: in
// float, 1 − 0.999 is 5e-5 off.
#include "pack.cuh"

struct Chunk {
    REAL* p;         // the parameter, changed in place
    const REAL* g;   // its gradient
    REAL* state[3];  // what the optimiser remembers; null for what it does not
    int n, group;    // numbers in the chunk; row of options
};

// rule(p, g, s0, s1, s2) for the chunk's numbers from `begin` to `end`, V at a time.
template <int V, class Rule>
__device__ void sweep(const Chunk& chunk, int begin, int end, const Rule& rule) {
    for (int i = begin + threadIdx.x * V; i < end; i += blockDim.x * V) {
        Pack<REAL, V> p = pack<V>(chunk.p + i), g = pack<V>(chunk.g + i), s[3] = {};
        for (int k = 0; k < 3; k++)
            if (chunk.state[k]) s[k] = pack<V>(chunk.state[k] + i);
        for (int v = 0; v < V; v++) rule(p.at[v], g.at[v], s[0].at[v], s[1].at[v], s[2].at[v]);
        pack<V>(chunk.p + i) = p;
        for (int k = 0; k < 3; k++)
            if (chunk.state[k]) pack<V>(chunk.state[k] + i) = s[k];
    }
}

// For every chunk of this block: rule = make(options of its group, number of this step, from 1); sweep.
template <class Options, class Make>
__device__ void update(int count, const Chunk* chunks, const Options* options, int* steps, const Make& make) {
    for (int k = blockIdx.x; k < count; k += gridDim.x) {
        const Chunk chunk = chunks[k];
        if (!chunk.g) continue;
        int step = steps[k] + 1;
        __syncthreads();  // all have read it
        if (threadIdx.x == 0) steps[k] = step;
        bool in_packs = aligned(chunk.p, chunk.g, chunk.state[0], chunk.state[1], chunk.state[2]);
        int wide = in_packs ? chunk.n / WIDE * WIDE : 0;  // the tail fills no pack
        auto rule = make(options[chunk.group], step);
        sweep<WIDE>(chunk, 0, wide, rule);
        sweep<1>(chunk, wide, chunk.n, rule);
    }
}

// ------------------------------------------------------------------------------------------ SGD
// d = g + λ·p;  b ← μ·b + (1 − τ)·d, the first time b ← d;  p ← p − η·b.  Nesterov: p ← p − η·(d + μ·b).
// τ dampening.  state: b, or null where μ = 0

struct SGD {
    REAL lr, momentum, fresh, weight_decay, nesterov;  // fresh = 1 − τ; nesterov is 0 or 1
};

extern "C" __global__ void sgd(int count, const Chunk* chunks, const SGD* options, int* steps) {
    update(count, chunks, options, steps, [](SGD o, int step) {
        return [=](REAL& p, REAL g, REAL& b, REAL&, REAL&) {
            REAL d = g + o.weight_decay * p;
            if (o.momentum != 0) {
                b = step == 1 ? d : o.momentum * b + o.fresh * d;
                d = o.nesterov != 0 ? d + o.momentum * b : b;
            }
            p -= o.lr * d;
        };
    });
}

// ------------------------------------------------------------------------------------------ Adam, AdamW
// m ← β1·m + (1 − β1)·d;  v ← β2·v + (1 − β2)·d²;  p ← p − η·m̂ / (√v̂ + ε)
// m̂ = m / (1 − β1^t), v̂ = v / (1 − β2^t), t the number of the step;
// d = g + λ·p, or decoupled: d = g and first p ← (1 − η·λ)·p.  state: m, v

struct Adam {
    REAL lr, beta1, fresh1, log_beta1, beta2, fresh2, log_beta2;  // fresh = 1 − β, log_beta = ln β
    REAL eps, weight_decay, decoupled;                            // decoupled is 0 or 1
};

__device__ __forceinline__ float minus_expm1(float x) { return -expm1f(x); }
__device__ __forceinline__ double minus_expm1(double x) { return -expm1(x); }

extern "C" __global__ void adam(int count, const Chunk* chunks, const Adam* options, int* steps) {
    update(count, chunks, options, steps, [](Adam o, int step) {
        // 1 − β^t = −(e^(t·ln β) − 1): so written it keeps all digits where β^t is near 1
        REAL rate = o.lr / minus_expm1(step * o.log_beta1);
        REAL root = 1 / tm_sqrt(minus_expm1(step * o.log_beta2));
        REAL keep = o.decoupled != 0 ? 1 - o.lr * o.weight_decay : REAL(1);
        REAL decay = o.decoupled != 0 ? REAL(0) : o.weight_decay;
        return [=](REAL& p, REAL g, REAL& m, REAL& v, REAL&) {
            REAL d = g + decay * p;
            m = o.beta1 * m + o.fresh1 * d;
            v = o.beta2 * v + o.fresh2 * d * d;
            p = keep * p - rate * m / (tm_sqrt(v) * root + o.eps);
        };
    });
}

// ------------------------------------------------------------------------------------------ RMSprop
// v ← α·v + (1 − α)·d²;  p ← p − η·d / (√v + ε),  d = g + λ·p
// Centred: mean ← α·mean + (1 − α)·d, √(v − mean²) for √v.
// With momentum b ← μ·b + d / (√v + ε), p ← p − η·b.  state: v, mean or null, b or null

struct RMSprop {
    REAL lr, alpha, fresh, eps, weight_decay, momentum, centered;  // fresh = 1 − α; centered is 0 or 1
};

extern "C" __global__ void rmsprop(int count, const Chunk* chunks, const RMSprop* options, int* steps) {
    update(count, chunks, options, steps, [](RMSprop o, int) {
        return [=](REAL& p, REAL g, REAL& v, REAL& mean, REAL& b) {
            REAL d = g + o.weight_decay * p;
            v = o.alpha * v + o.fresh * d * d;
            REAL spread = v;
            if (o.centered != 0) {
                mean = o.alpha * mean + o.fresh * d;
                spread -= mean * mean;
            }
            d /= tm_sqrt(spread) + o.eps;
            if (o.momentum != 0) d = b = o.momentum * b + d;
            p -= o.lr * d;
        };
    });
}

// ------------------------------------------------------------------------------------------ Adagrad
// s ← s + d²;  p ← p − η·d / (√s + ε),  d = g + λ·p,  η = lr / (1 + (t − 1)·lr_decay).  state: s

struct Adagrad {
    REAL lr, lr_decay, eps, weight_decay;
};

extern "C" __global__ void adagrad(int count, const Chunk* chunks, const Adagrad* options, int* steps) {
    update(count, chunks, options, steps, [](Adagrad o, int step) {
        REAL rate = o.lr / (1 + (step - 1) * o.lr_decay);
        return [=](REAL& p, REAL g, REAL& s, REAL&, REAL&) {
            REAL d = g + o.weight_decay * p;
            s += d * d;
            p -= rate * d / (tm_sqrt(s) + o.eps);
        };
    });
}
