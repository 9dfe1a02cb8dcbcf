// The gradient of picking rows, y[i] = w[index[i]]: out[k] += Σ rows[i] over all i with index[i] = k, C numbers
// a row. Adding with atomics would take the rows of one k in whatever order they come, and no two runs would
// give the same bits.
//
// So the host sorts the indices first: key (n) ascending, and order (n), where each stood; the sort is stable,
// so equal ones stay in their order. Then all that goes to one k lies side by side. There is a thread for each
// number of each sorted row; those at the first row of their k add up, the others have nothing to do. A thread
// that knows where its k ends can ask for several rows before the first is there.
#include "prims.cuh"

// The first place from `at` on whose key is another one, found by halving.
__device__ long long end_of(const long long* key, long long at, long long n) {
    long long same = at, other = n;
    while (other - same > 1) {
        long long middle = same + (other - same) / 2;
        (key[middle] == key[at] ? same : other) = middle;
    }
    return other;
}

extern "C" __global__ void scatter_add(long long n, int C, const long long* __restrict__ key,
                                       const long long* __restrict__ order, const REAL* __restrict__ rows,
                                       REAL* __restrict__ out) {
    const long long all = n * C, step = (long long)gridDim.x * blockDim.x;
    for (long long t = blockIdx.x * (long long)blockDim.x + threadIdx.x; t < all; t += step) {
        const long long first = t / C, c = t % C;
        if (first > 0 && key[first - 1] == key[first]) continue;
        const long long end = end_of(key, first, n);
        REAL sum = out[key[first] * C + c];
#pragma unroll 8
        for (long long i = first; i < end; i++) sum += rows[order[i] * C + c];
        out[key[first] * C + c] = sum;
    }
}
