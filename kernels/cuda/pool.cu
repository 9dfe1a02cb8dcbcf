// Pooling (article 4.1.2), channels last: x (N,H,W,C) → y (N,OH,OW,C).
//
//   max_pool2d   y[n,i,j,c] = max over u, v of x[n, i·SH+u·DH−PH, j·SW+v·DW−PW, c];  where = its u·KW + v
//   avg_pool2d   y[n,i,j,c] = 1/k Σ over u, v of the same cells,  k = count[i,j]
//
// A thread owns a place of the result, for V neighbouring channels: 16 bytes where C allows, else one.
//
// The gradients gather: a thread owns a cell of x and looks at the windows that cover it, in the order
// of i, j. Scattering from the windows would need atomic additions, whose order, and so whose
// rounding, differs from run to run.
#include "pack.cuh"

#ifndef WHERE
#define WHERE unsigned char  // -DWHERE=int for windows of more than 256 cells
#endif

struct PoolShape {  // tinymed.kernels.shapes.PoolShape
    int N, C, H, W, KH, KW, OH, OW, SH, SW, PH, PW, DH, DW;
};

// Which (n, row, column, c) stands at number `at` of the memory.
struct Position {
    int n, row, column, c;
    __device__ Position(long long at, int rows, int columns, int C) {
        c = at % C, at /= C;
        column = at % columns, at /= columns;
        row = at % rows, n = at / rows;
    }
};

// Along one axis, the windows that reach over h: first … last. With dilation their taps may still miss it.
struct Windows {
    int first, last;
    __device__ Windows(int h, int OH, int KH, int SH, int PH, int DH) {
        int late = h + PH - (KH - 1) * DH;  // where a window would start whose last cell is h
        first = late > 0 ? (late + SH - 1) / SH : 0;
        last = min((h + PH) / SH, OH - 1);
    }
};

// ------------------------------------------------------------------------------------------ the largest

template <int V>
__device__ void largest(const PoolShape& s, const REAL* x, REAL* y, WHERE* where) {
    EACH_PACK(at, V, (long long)s.N * s.OH * s.OW * s.C) {
        Position y_at(at, s.OH, s.OW, s.C);
        Pack<REAL, V> best;
        Pack<WHERE, V> tap;
        bool empty = true;  // the first cell inside the image wins, also where all are −∞
        for (int k = 0; k < V; k++) best.at[k] = -tm_infinity(), tap.at[k] = 0;
        for (int u = 0; u < s.KH; u++) {
            int h = y_at.row * s.SH + u * s.DH - s.PH;
            if (h < 0 || h >= s.H) continue;
            for (int v = 0; v < s.KW; v++) {
                int q = y_at.column * s.SW + v * s.DW - s.PW;
                if (q < 0 || q >= s.W) continue;
                Pack<REAL, V> cell = pack<V>(x + (((long long)y_at.n * s.H + h) * s.W + q) * s.C + y_at.c);
                for (int k = 0; k < V; k++)
                    if (empty || cell.at[k] > best.at[k] || cell.at[k] != cell.at[k])  // NaN is the largest
                        best.at[k] = cell.at[k], tap.at[k] = u * s.KW + v;
                empty = false;
            }
        }
        pack<V>(y + at) = best;
        pack<V>(where + at) = tap;
    }
}

extern "C" __global__ void max_pool2d(PoolShape s, const REAL* x, REAL* y, WHERE* where) {
    bool in_packs = s.C % WIDE == 0 && aligned(x, y, where);
    in_packs ? largest<WIDE>(s, x, y, where) : largest<1>(s, x, y, where);
}

// gx[n,h,q,c] = Σ g of the windows that cover the cell and whose largest it was.
template <int V>
__device__ void largest_grad(const PoolShape& s, const REAL* g, const WHERE* where, REAL* gx) {
    EACH_PACK(at, V, (long long)s.N * s.H * s.W * s.C) {
        Position x_at(at, s.H, s.W, s.C);
        Windows rows(x_at.row, s.OH, s.KH, s.SH, s.PH, s.DH);
        Windows columns(x_at.column, s.OW, s.KW, s.SW, s.PW, s.DW);
        Pack<REAL, V> sum = {};
        for (int i = rows.first; i <= rows.last; i++) {
            int down = x_at.row + s.PH - i * s.SH;  // = u·DH
            if (down % s.DH) continue;
            for (int j = columns.first; j <= columns.last; j++) {
                int right = x_at.column + s.PW - j * s.SW;  // = v·DW
                if (right % s.DW) continue;
                long long from = (((long long)x_at.n * s.OH + i) * s.OW + j) * s.C + x_at.c;
                Pack<WHERE, V> tap = pack<V>(where + from);
                Pack<REAL, V> into = pack<V>(g + from);
                for (int k = 0; k < V; k++)
                    if (tap.at[k] == down / s.DH * s.KW + right / s.DW) sum.at[k] += into.at[k];
            }
        }
        pack<V>(gx + at) = sum;
    }
}

extern "C" __global__ void max_pool2d_grad(PoolShape s, const REAL* g, const WHERE* where, REAL* gx) {
    bool in_packs = s.C % WIDE == 0 && aligned(g, where, gx);
    in_packs ? largest_grad<WIDE>(s, g, where, gx) : largest_grad<1>(s, g, where, gx);
}

// ------------------------------------------------------------------------------------------ the average
// count has `counts` entries: OH·OW, or 1 that serves all windows.

template <int V>
__device__ void average(const PoolShape& s, const REAL* x, const REAL* count, int counts, REAL* y) {
    EACH_PACK(at, V, (long long)s.N * s.OH * s.OW * s.C) {
        Position y_at(at, s.OH, s.OW, s.C);
        Pack<REAL, V> sum = {};
        for (int u = 0; u < s.KH; u++) {
            int h = y_at.row * s.SH + u * s.DH - s.PH;
            if (h < 0 || h >= s.H) continue;
            for (int v = 0; v < s.KW; v++) {
                int q = y_at.column * s.SW + v * s.DW - s.PW;
                if (q < 0 || q >= s.W) continue;
                Pack<REAL, V> cell = pack<V>(x + (((long long)y_at.n * s.H + h) * s.W + q) * s.C + y_at.c);
                for (int k = 0; k < V; k++) sum.at[k] += cell.at[k];
            }
        }
        for (int k = 0; k < V; k++) sum.at[k] /= count[counts == 1 ? 0 : y_at.row * s.OW + y_at.column];
        pack<V>(y + at) = sum;
    }
}

extern "C" __global__ void avg_pool2d(PoolShape s, const REAL* x, const REAL* count, int counts, REAL* y) {
    bool in_packs = s.C % WIDE == 0 && aligned(x, y);
    in_packs ? average<WIDE>(s, x, count, counts, y) : average<1>(s, x, count, counts, y);
}

// gx[n,h,q,c] = Σ g / k of the windows that cover the cell.
template <int V>
__device__ void average_grad(const PoolShape& s, const REAL* g, const REAL* count, int counts, REAL* gx) {
    EACH_PACK(at, V, (long long)s.N * s.H * s.W * s.C) {
        Position x_at(at, s.H, s.W, s.C);
        Windows rows(x_at.row, s.OH, s.KH, s.SH, s.PH, s.DH);
        Windows columns(x_at.column, s.OW, s.KW, s.SW, s.PW, s.DW);
        Pack<REAL, V> sum = {};
        for (int i = rows.first; i <= rows.last; i++) {
            if ((x_at.row + s.PH - i * s.SH) % s.DH) continue;
            for (int j = columns.first; j <= columns.last; j++) {
                if ((x_at.column + s.PW - j * s.SW) % s.DW) continue;
                Pack<REAL, V> into = pack<V>(g + (((long long)x_at.n * s.OH + i) * s.OW + j) * s.C + x_at.c);
                REAL cells = count[counts == 1 ? 0 : i * s.OW + j];
                for (int k = 0; k < V; k++) sum.at[k] += into.at[k] / cells;
            }
        }
        pack<V>(gx + at) = sum;
    }
}

extern "C" __global__ void avg_pool2d_grad(PoolShape s, const REAL* g, const REAL* count, int counts,
                                           REAL* gx) {
    bool in_packs = s.C % WIDE == 0 && aligned(g, gx);
    in_packs ? average_grad<WIDE>(s, g, count, counts, gx) : average_grad<1>(s, g, count, counts, gx);
}
