// CUDA C on a CPU, for tests: one block at a time; its threads are fibers, each runs until it waits (fibers.h).
// Shared memory holds NaN before every block. What the GPU leaves open (who runs first, when an asynchronous
// copy lands) is the schedule's to choose; a right kernel gives the same numbers under every schedule.
// It is no proof: orders of single instructions are not tried, nor blocks that wait for one another.
#pragma once
#include <cmath>

#include "fibers.h"

// ------------------------------------------------------------------------ words of the language
#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __restrict__ __restrict
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __launch_bounds__(...)
#define __shared__ static thread_local  // of one OS thread: thus all lie in one piece, to be poisoned
#define warpSize 32

struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) double2 { double x, y; };
struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }

namespace cpu {

// "f4* i4 V64": each parameter as NumPy spells its type, so that the driver can refuse a wrong argument.
template <class T>
std::string type_code() {
    if constexpr (std::is_pointer_v<T>) {
        using To = std::remove_cv_t<std::remove_pointer_t<T>>;
        if constexpr (std::is_void_v<To>) return "?*";
        else return type_code<To>() + "*";
    } else {
        const char kind = std::is_same_v<T, bool> ? 'b' : std::is_floating_point_v<T> ? 'f'
            : !std::is_integral_v<T> ? 'V' : std::is_signed_v<T> ? 'i' : 'u';
        return kind + std::to_string(sizeof(T));
    }
}

template <class... A>
const char* signature(void (*)(A...)) {
    static const std::string codes = ((type_code<std::remove_cv_t<A>>() + " ") + ... + "");
    return codes.c_str();
}

// ------------------------------------------------------------------------ over a warp
#define TM_CALLER const char *file = __builtin_FILE(), int line = __builtin_LINE()  // as default arguments

inline int lane() { return current->number % WARP; }

inline Thread* lane_of_warp(int lane) {
    const int number = current->number / WARP * WARP + lane;
    return number < block_size && threads[number]->state != RETURNED ? threads[number] : nullptr;
}

// Show a value to the warp; read others'; then `done_reading`, lest someone overwrite what is not read yet.
template <class T>
void show(const T& value, const char* file, int line) {
    static_assert(sizeof(T) <= sizeof(Thread::mail));
    memcpy(current->mail, &value, sizeof(T));
    wait(AT_WARP_OPERATION, file, line);
}

inline void done_reading(const char* file, int line) { wait(AT_WARP_OPERATION, file, line); }

template <class T>
T read(int lane) {
    T value;
    memset((void*)&value, 0xFF, sizeof(T));              // of a lane that is not there nothing is known
    if (Thread* other = lane_of_warp(lane)) memcpy((void*)&value, other->mail, sizeof(T));
    return value;
}

template <class T>
T exchange(unsigned mask, T value, int from, const char* file, int line) {
    if (mask != 0xffffffffu) fail("%s:%d: only whole warps shuffle here, not mask %08x", file, line, mask);
    show(value, file, line);
    const T got = read<T>(from);
    done_reading(file, line);
    return got;
}

inline unsigned ballot(int vote, const char* file, int line) {
    show(vote != 0, file, line);
    unsigned votes = 0;
    for (int i = 0; i < WARP; i++) votes |= unsigned(lane_of_warp(i) && read<bool>(i)) << i;
    done_reading(file, line);
    return votes;
}

inline void start_copy(void* to, const void* from, int size, bool inside, const char* file, int line) {
    if (((uintptr_t)to | (inside ? (uintptr_t)from : 0)) % size)
        return fail("%s:%d: a copy of %d bytes needs addresses that are multiples of it", file, line, size);
    Copy copy{to, {}, size};
    if (inside) memcpy(copy.bytes, from, size);
    if (schedule & COPIES_LAND_AT_ONCE) copy.land();
    else current->copies.push_back(copy);
}

inline float from_tf32(unsigned bits) {                  // a tensor core does not look at the last 13 bits
    bits &= 0xffffe000u;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

}  // namespace cpu

inline void __syncthreads(TM_CALLER) { cpu::wait(cpu::AT_BLOCK_BARRIER, file, line); }
inline void __syncwarp(unsigned = ~0u, TM_CALLER) { cpu::wait(cpu::AT_WARP_OPERATION, file, line); }
template <class T>
T __shfl_sync(unsigned mask, T x, int from, TM_CALLER) {
    return cpu::exchange(mask, x, from % 32, file, line);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T x, int flip, TM_CALLER) {
    return cpu::exchange(mask, x, cpu::lane() ^ flip, file, line);
}
template <class T>
T __shfl_down_sync(unsigned mask, T x, int by, TM_CALLER) {  // beyond the end: a lane's own value
    return cpu::exchange(mask, x, cpu::lane() + by < 32 ? cpu::lane() + by : cpu::lane(), file, line);
}
template <class T>
T __shfl_up_sync(unsigned mask, T x, int by, TM_CALLER) {
    return cpu::exchange(mask, x, cpu::lane() >= by ? cpu::lane() - by : cpu::lane(), file, line);
}
inline unsigned __ballot_sync(unsigned, int vote, TM_CALLER) { return cpu::ballot(vote, file, line); }
inline int __any_sync(unsigned, int vote, TM_CALLER) { return cpu::ballot(vote, file, line) != 0; }

// ------------------------------------------------------------------------ what g++ watches for us
// -fsanitize=bounds,alignment calls these and expects that they never return.
struct Place { const char* file; unsigned line, column; };
extern "C" {
inline __attribute__((used)) void __ubsan_handle_out_of_bounds_abort(Place* at, uintptr_t index) {
    cpu::fail("%s:%u: index %ld is outside its array", at->file, at->line, (long)index);
    cpu::wait(cpu::RETURNED, "", 0);
}
inline __attribute__((used)) void __ubsan_handle_type_mismatch_v1_abort(Place* at, uintptr_t address) {
    cpu::fail("%s:%u: address %#lx is not aligned for what stands there", at->file, at->line, (long)address);
    cpu::wait(cpu::RETURNED, "", 0);
}
}

// ------------------------------------------------------------------------ small functions
using std::isfinite, std::isinf, std::isnan, std::max, std::min;
template <class T>
T __ldg(const T* p) { return *p; }
template <class T>
T atomicAdd(T* p, T x) {
    static_assert(std::is_integral_v<T>, "a sum of floats in no fixed order is not reproducible");
    return std::exchange(*p, *p + x);
}
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __float_as_int(float x) { int i; memcpy(&i, &x, 4); return i; }
inline unsigned __float_as_uint(float x) { unsigned i; memcpy(&i, &x, 4); return i; }
inline float __int_as_float(int i) { float x; memcpy(&x, &i, 4); return x; }
inline float __uint_as_float(unsigned i) { float x; memcpy(&x, &i, 4); return x; }

// ------------------------------------------------------------------------ prims.cuh's PTX
inline unsigned tm_to_tf32(float x) {                    // to nearest, ties away from zero; ∞ and NaN stay
    unsigned bits = __float_as_uint(x);
    if ((bits & 0x7f800000u) != 0x7f800000u) bits += 0x1000u;
    return bits & 0xffffe000u;
}

inline void tm_mma_tf32(float* d, const unsigned* a, const unsigned* b, TM_CALLER) {
    struct Fragments { unsigned a[4], b[2]; };
    cpu::show(Fragments{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}}, file, line);
    float A[16][8], B[8][8];
    for (int l = 0; l < 32; l++) {
        if (!cpu::lane_of_warp(l)) return cpu::fail("%s:%d: a tensor core needs all 32 lanes", file, line);
        const Fragments of = cpu::read<Fragments>(l);
        const int g = l / 4, q = l % 4;
        for (int i = 0; i < 4; i++) A[g + i % 2 * 8][q + i / 2 * 4] = cpu::from_tf32(of.a[i]);
        for (int i = 0; i < 2; i++) B[q + i * 4][g] = cpu::from_tf32(of.b[i]);
    }
    cpu::done_reading(file, line);
    for (int i = 0; i < 4; i++) {
        const int row = cpu::lane() / 4 + i / 2 * 8, column = cpu::lane() % 4 * 2 + i % 2;
        for (int k = 0; k < 8; k++) d[i] += A[row][k] * B[k][column];
    }
}

inline void tm_cp_async4(void* shared, const void* global, bool inside, TM_CALLER) {
    cpu::start_copy(shared, global, 4, inside, file, line);
}
inline void tm_cp_async16(void* shared, const void* global, bool inside, TM_CALLER) {
    cpu::start_copy(shared, global, 16, inside, file, line);
}
inline void tm_cp_commit() {
    cpu::current->groups.push_back(std::move(cpu::current->copies));
    cpu::current->copies.clear();
}
template <int GROUPS>
void tm_cp_wait() {
    auto& groups = cpu::current->groups;
    for (; (int)groups.size() > GROUPS; groups.erase(groups.begin()))
        for (const auto& copy : groups.front()) copy.land();
}
