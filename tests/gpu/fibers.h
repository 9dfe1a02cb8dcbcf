// Fibers, and the scheduler that runs the threads of one block, block after block. See cuda_on_cpu.h.
#pragma once
#include <link.h>
#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

struct dim3 {
    unsigned x = 1, y = 1, z = 1;
};
static dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace cpu {

// ------------------------------------------------------------------------ fibers
// A schedule is a sum of: 0-7 the order of the threads (0 first to last, 1 last to first, 2-7 shuffled);
// 8: a warp runs as far as it can before the next one starts (else all advance together);
// 16: an asynchronous copy lands at once (else only when it is waited for).
constexpr int ORDER = 7, ONE_WARP_AHEAD = 8, COPIES_LAND_AT_ONCE = 16;
constexpr size_t STACK = 256 << 10, GUARD = 4096;
constexpr int WARP = 32;

enum State { READY, AT_BLOCK_BARRIER, AT_WARP_OPERATION, RETURNED };

struct Copy {
    void* to;
    char bytes[16];
    int size;
    void land() const { memcpy(to, bytes, size); }
};

struct Thread {
    int number;                        // in its block
    dim3 index;
    State state;
    int line;                          // where it waits
    const char* file;
    char mail[32];                     // what it shows to the other lanes of its warp
    std::vector<Copy> copies;          // started and in no group yet
    std::vector<std::vector<Copy>> groups;
    bool started = false;
    ucontext_t start;                  // entered once; from then on the faster jumps
    jmp_buf here;
    char* stack = nullptr;
};

static std::vector<Thread*> threads;   // kept from block to block: a stack costs more than a small kernel
static Thread* current;
static jmp_buf scheduler;
static int schedule, block_size;
static char* dynamic_shared;           // `extern __shared__ T name[]` is rewritten to point here
static std::string error;
static void (*run_kernel)(void*);
static void* kernel_call;

// The thread_local variables of this library: they are its `__shared__` ones, also those in templates and
// lambdas, which g++ does not put into a section.
struct Memory { char* start = nullptr; size_t bytes = 0; };

inline Memory static_shared() {
    static thread_local volatile char touched;         // there is no such memory until some of it is used
    touched = 1;
    Memory found;
    dl_iterate_phdr([](dl_phdr_info* library, size_t, void* found) {
        bool ours = false;
        size_t bytes = 0;
        for (int i = 0; i < library->dlpi_phnum; i++) {
            const ElfW(Phdr)& part = library->dlpi_phdr[i];
            if (part.p_type == PT_TLS) bytes = part.p_memsz;
            if (part.p_type != PT_LOAD) continue;
            ours |= (uintptr_t)&current - library->dlpi_addr - part.p_vaddr < part.p_memsz;
        }
        if (ours) *(Memory*)found = {(char*)library->dlpi_tls_data, bytes};
        return int(ours);
    }, &found);
    return found;
}

inline void fail(const char* format, ...) {
    if (!error.empty()) return;        // the first is the cause
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    char place[80];
    snprintf(place, sizeof place, "block (%u,%u,%u): ", blockIdx.x, blockIdx.y, blockIdx.z);
    error = place + std::string(text);
}

// Stop here and let others run, until the scheduler says READY.
__attribute__((noinline)) inline void wait(State state, const char* file, int line) {
    current->state = state, current->file = file, current->line = line;
    if (!_setjmp(current->here)) _longjmp(scheduler, 1);
}

inline void fiber() {
    for (;;) {
        run_kernel(kernel_call);
        wait(RETURNED, "", 0);
    }
}

__attribute__((noinline)) inline void resume(Thread* thread) {
    current = thread, threadIdx = thread->index;
    if (_setjmp(scheduler)) return;    // it waits again
    if (thread->started) _longjmp(thread->here, 1);
    thread->started = true;
    getcontext(&thread->start);
    thread->start.uc_stack.ss_sp = thread->stack;
    thread->start.uc_stack.ss_size = STACK;
    thread->start.uc_link = nullptr;
    makecontext(&thread->start, fiber, 0);
    setcontext(&thread->start);
}

inline void prepare_threads() {
    while ((int)threads.size() < block_size) {
        threads.push_back(new Thread());
        threads.back()->stack = (char*)aligned_alloc(4096, STACK);
    }
    for (int i = 0; i < block_size; i++) {
        Thread* t = threads[i];
        t->number = i, t->state = READY;
        t->index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y)};
        t->copies.clear(), t->groups.clear();
    }
}

// ------------------------------------------------------------------------ one block
inline int warp_end(int first) { return std::min(block_size, first + WARP); }

// All threads of first..end that are still alive wait in `state`: let them go on. Two places are a mistake.
inline bool release(int first, int end, State state, const char* what) {
    int waiting = 0, alive = 0;
    Thread *one = nullptr, *other = nullptr;
    for (int i = first; i < end; i++) {
        Thread* t = threads[i];
        alive += t->state != RETURNED;
        if (t->state != state) continue;
        waiting++;
        if (!one) one = t;
        if (t->line != one->line || strcmp(t->file, one->file)) other = t;
    }
    if (!waiting || waiting < alive) return false;
    if (other)
        return fail("threads wait at different %s: thread %d at %s:%d, thread %d at %s:%d", what, one->number,
                    one->file, one->line, other->number, other->file, other->line), false;
    if (state == AT_BLOCK_BARRIER && waiting < end - first)
        return fail("%s at %s:%d is not reached by %d threads, which returned before it", what, one->file,
                    one->line, end - first - waiting), false;
    for (int i = first; i < end; i++)
        if (threads[i]->state == state) threads[i]->state = READY;
    return true;
}

inline bool release_warp(int first) {
    return release(first, warp_end(first), AT_WARP_OPERATION, "operations of one warp");
}

inline void name_deadlock() {
    for (int i = 0; i < block_size; i++)
        if (threads[i]->state == AT_WARP_OPERATION)
            return fail("deadlock: the operation of a warp at %s:%d is not reached by all its lanes",
                        threads[i]->file, threads[i]->line);
}

inline std::vector<int> order_of_threads() {
    std::vector<int> order(block_size);
    const int kind = schedule & ORDER;
    for (int i = 0; i < block_size; i++) order[i] = kind == 1 ? block_size - 1 - i : i;
    uint32_t random = kind;
    for (int i = block_size - 1; kind > 1 && i > 0; i--) {
        random = random * 1664525u + 1013904223u;
        std::swap(order[i], order[(random >> 8) % (i + 1)]);
    }
    return order;
}

// Every thread of the list that is ready runs until it waits.
inline bool run_ready(const std::vector<int>& list) {
    bool moved = false;
    for (int i : list)
        if (threads[i]->state == READY && error.empty()) resume(threads[i]), moved = true;
    return moved;
}

inline void run_block() {
    prepare_threads();
    const std::vector<int> order = order_of_threads();
    std::vector<std::vector<int>> warps;                 // in the order in which their first threads come
    std::vector<int> place((block_size + WARP - 1) / WARP, -1);
    for (int i : order) {
        if (place[i / WARP] < 0) place[i / WARP] = (int)warps.size(), warps.emplace_back();
        warps[place[i / WARP]].push_back(i);
    }
    for (bool moved = true; moved && error.empty();) {
        moved = false;
        if (schedule & ONE_WARP_AHEAD)
            for (const auto& warp : warps)
                do moved |= run_ready(warp);
                while (error.empty() && release_warp(warp[0] / WARP * WARP));
        else
            moved = run_ready(order);
        for (int first = 0; first < block_size; first += WARP) moved |= release_warp(first);
        moved |= release(0, block_size, AT_BLOCK_BARRIER, "__syncthreads()");
    }
    if (error.empty()) name_deadlock();
}

// ------------------------------------------------------------------------ a launch
template <class... A, size_t... I>
void call(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
    kernel(*(std::remove_cv_t<A>*)arguments[I]...);
}

template <class... A>
const char* launch(void (*kernel)(A...), const unsigned* grid, const unsigned* block, size_t shared_bytes,
                   void** arguments, int schedule_) {
    struct Call { void (*kernel)(A...); void** arguments; } bound{kernel, arguments};
    kernel_call = &bound;
    run_kernel = [](void* c) {
        call(((Call*)c)->kernel, ((Call*)c)->arguments, std::index_sequence_for<A...>{});
    };
    schedule = schedule_, error.clear();
    gridDim = {grid[0], grid[1], grid[2]}, blockDim = {block[0], block[1], block[2]};
    block_size = block[0] * block[1] * block[2];
    const size_t dynamic_bytes = (shared_bytes + GUARD + 255) / 256 * 256;
    dynamic_shared = (char*)aligned_alloc(256, dynamic_bytes);
    const Memory static_memory = static_shared();
    const long blocks = (long)grid[0] * grid[1] * grid[2];
    for (long k = 0; k < blocks && error.empty(); k++) {
        const long b = (schedule & ORDER) == 1 ? blocks - 1 - k : k;
        blockIdx = {unsigned(b % grid[0]), unsigned(b / grid[0] % grid[1]), unsigned(b / grid[0] / grid[1])};
        memset(dynamic_shared, 0xFF, dynamic_bytes);     // all bits set: NaN, and -1 as an integer
        memset(static_memory.start, 0xFF, static_memory.bytes);
        run_block();
        const char *end = dynamic_shared + shared_bytes, *last = dynamic_shared + dynamic_bytes;
        if (std::any_of(end, last, [](unsigned char byte) { return byte != 0xFF; }))
            fail("it writes beyond its %zu bytes of dynamic shared memory", shared_bytes);
    }
    if (!error.empty())
        for (Thread* t : threads) t->started = false;    // they stopped half-way: begin anew
    free(dynamic_shared);
    return error.c_str();
}

}  // namespace cpu
