// Dropout: y = x / (1 − p) where u ≥ p, else 0;  u uniform in [0, 1)        (Srivastava et al. 2014)
//
// The random numbers come from Philox 4x32-10 (Salmon et al. 2011): ten rounds that scramble a counter under
// a key. Number i of the stream is a function of i and the seed alone, so every thread draws its own without
// waiting for others, and the backward pass draws the same mask again: none is stored. The gradient is the
// same kernel, g in the place of x.
//
// The seed and where the stream stands lie in device memory: a captured graph, replayed, would
// otherwise drop the same numbers in every step. `skip` is where a layer's numbers start in the
// step; after the step, advance().
#include "pack.cuh"

struct Stream {
    unsigned long long seed, at;  // at: how many numbers were used up
};

struct Four {
    unsigned word[4];
};

__device__ unsigned upper(unsigned long long x) { return (unsigned)(x >> 32); }

__device__ Four philox(unsigned long long seed, unsigned long long block) {
    Four c = {{(unsigned)block, upper(block), 0, 0}};
    unsigned key0 = (unsigned)seed, key1 = upper(seed);
    for (int round = 0; round < 10; round++) {
        unsigned long long a = 0xD2511F53ull * c.word[0], b = 0xCD9E8D57ull * c.word[2];  // 32 x 32 → 64 bits
        c = {{upper(b) ^ c.word[1] ^ key0, (unsigned)b, upper(a) ^ c.word[3] ^ key1, (unsigned)a}};
        key0 += 0x9E3779B9u, key1 += 0xBB67AE85u;
    }
    return c;
}

// The upper 24 bits as a fraction: all that a float holds, so it is never rounded up to 1.
__device__ REAL fraction(unsigned bits) { return REAL(bits >> 8) * (REAL(1) / REAL(1 << 24)); }

// rule(i, four random numbers) for x[i] … x[i+3]: a counter yields four, so a thread takes four
// neighbours, and moves them as one. `first`, the stream's number for x[0], is a multiple of 4: no
// two threads share a counter.
template <class Rule>
__device__ void each_four(long long n, unsigned long long first, unsigned long long seed, Rule rule) {
    EACH_PACK(i, 4, n) rule(i, philox(seed, (first + i) / 4));
}

// skip, like all that advance() adds, is a multiple of 4; scale = 1 / (1 − p), or
// any where p is 1. y may be x.
extern "C" __global__ void dropout(long long n, const REAL* x, REAL* y, REAL p, REAL scale,
                                   const Stream* stream, unsigned long long skip) {
    bool in_packs = aligned(x, y);
    each_four(n, stream->at + skip, stream->seed, [=](long long i, Four bits) {
        if (in_packs && i + 4 <= n) {
            Pack<REAL, 4> v = pack<4>(x + i);
            for (int k = 0; k < 4; k++) v.at[k] = fraction(bits.word[k]) >= p ? v.at[k] * scale : REAL(0);
            pack<4>(y + i) = v;
        } else {
            for (int k = 0; k < 4 && i + k < n; k++)
                y[i + k] = fraction(bits.word[k]) >= p ? x[i + k] * scale : REAL(0);
        }
    });
}

// y = the stream's next n numbers, uniform in [0, 1): to make weights and masks where they are used.
extern "C" __global__ void uniform(long long n, REAL* y, const Stream* stream, unsigned long long skip) {
    each_four(n, stream->at + skip, stream->seed, [=](long long i, Four bits) {
        for (int k = 0; k < 4 && i + k < n; k++) y[i + k] = fraction(bits.word[k]);
    });
}

// The step used up `numbers`, a multiple of 4. For one thread.
extern "C" __global__ void advance(Stream* stream, unsigned long long numbers) { stream->at += numbers; }
