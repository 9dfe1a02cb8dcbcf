// The loss of several classes, softmax included (article 3.1.2), on rows of C scores: x (R,C), t and w (R).
//
//   p[c] = e^(x[c] − top) / Σ e^(x[c] − top),  top the largest of the row;      ℓ = −w · ln p[t]
//   ∂ℓ/∂x[c] = w · (p[c] − 1 where c is t, else p[c])
//
// With channels last in memory, an image's scores (N,C,P) are R = N·P such rows. A team of 1, 2, 4, … or 32
// threads takes a row, as few as hold it: 10 classes take 16 threads and 2 classes 2, so that narrow rows do
// not leave a warp idle. A team never crosses a warp, so it needs shuffles alone, no shared memory and no
// barrier. It goes over its row three times, for the largest, the sum and the result; only the first time the
// row comes from memory, then from the cache. Scores next to each other need no wider loads: a warp reads one
// line of 128 bytes at a time as it is.
//
// Launch: R·team threads or more, in blocks of whole warps. A class outside 0 … C−1 gives NaN.
#include "prims.cuh"

struct Team {
    int size, lane;  // threads to a row; which of them this one is
    long long row;
    __device__ explicit Team(int C) : size(1) {
        while (size < C && size < 32) size *= 2;
        long long thread = blockIdx.x * (long long)blockDim.x + threadIdx.x;
        lane = thread % size, row = thread / size;
    }
    // As warp_max and warp_sum, over this team's lanes. The largest drops NaN, but the sum keeps it.
    __device__ REAL max(REAL v) const {
        for (int apart = size / 2; apart > 0; apart /= 2)
            v = tm_max(v, __shfl_xor_sync(TM_FULL_WARP, v, apart));
        return v;
    }
    __device__ REAL sum(REAL v) const {
        for (int apart = size / 2; apart > 0; apart /= 2) v += __shfl_xor_sync(TM_FULL_WARP, v, apart);
        return v;
    }
};

// A row's largest score and Σ e^(x − top). All 32 lanes of a warp must come here together: a team past the
// last row comes with C = 0 and reads nothing.
struct Row {
    REAL top, total;
    __device__ Row(const Team& team, const REAL* x, int C) {
        top = -tm_infinity();
        for (int c = team.lane; c < C; c += team.size) top = tm_max(top, x[c]);
        top = team.max(top);
        total = 0;
        for (int c = team.lane; c < C; c += team.size) total += tm_exp(x[c] - top);
        total = team.sum(total);
    }
    __device__ REAL p(REAL x) const { return tm_exp(x - top) / total; }
    // From the logarithm of the sum: right also where p[t] is too small for a number.
    __device__ REAL loss(REAL x_t) const { return tm_log(total) + top - x_t; }
};

// What class t weighs: NaN where there is none.
__device__ REAL weight(REAL w, long long t, int C) { return t >= 0 && t < C ? w : REAL(0) * tm_infinity(); }

// The score of class t, or of any where there is none: nothing is read outside the row.
__device__ REAL score(const REAL* scores, long long t, int C) { return scores[t >= 0 && t < C ? t : 0]; }

// loss (R) = −w · ln p[t], and p (R,C), which the gradient needs.
extern "C" __global__ void cross_entropy(int R, int C, const REAL* x, const long long* t, const REAL* w,
                                         REAL* loss, REAL* p) {
    Team team(C);
    bool mine = team.row < R;
    const REAL* scores = x + team.row * C;
    Row row(team, scores, mine ? C : 0);
    for (int c = team.lane; mine && c < C; c += team.size) p[team.row * C + c] = row.p(scores[c]);
    if (!mine || team.lane) return;
    long long truth = t[team.row];
    loss[team.row] = weight(w[team.row], truth, C) * row.loss(score(scores, truth, C));
}

// gx (R,C) = g · w · (p − 1 at t), for g (R) into the loss.
extern "C" __global__ void cross_entropy_grad(int R, int C, const REAL* g, const REAL* p, const long long* t,
                                              const REAL* w, REAL* gx) {
    Team team(C);
    if (team.row >= R) return;  // no shuffle below
    long long truth = t[team.row];
    REAL into = g[team.row] * weight(w[team.row], truth, C);
    for (int c = team.lane; c < C; c += team.size)
        gx[team.row * C + c] = into * (p[team.row * C + c] - REAL(c == truth));
}

// Both at once, where g is known beforehand, as 1 / Σ w is in the mean of a training step: loss (R) and gx
// (R,C). The scores are read once and p is never written.
extern "C" __global__ void cross_entropy_step(int R, int C, const REAL* x, const long long* t, const REAL* w,
                                              const REAL* g, REAL* loss, REAL* gx) {
    Team team(C);
    bool mine = team.row < R;
    const REAL* scores = x + team.row * C;
    Row row(team, scores, mine ? C : 0);
    if (!mine) return;
    long long truth = t[team.row];
    REAL weighs = weight(w[team.row], truth, C), into = g[team.row] * weighs;
    for (int c = team.lane; c < C; c += team.size)
        gx[team.row * C + c] = into * (row.p(scores[c]) - REAL(c == truth));
    if (team.lane == 0) loss[team.row] = weighs * row.loss(score(scores, truth, C));
}
