// The plain C interface. Each function checks the sizes that kernels rely on, launches, and returns
// 0, a CUDA error, or one of our own below 0. The stream is a cudaStream_t.
#include "append.cuh"
#include "attend.cuh"
#include "decode.cuh"
#include "select.cuh"

#define ULTRA_EXPORT extern "C" __attribute__((visibility("default")))

enum Error : int { kProblemSize = -1, kKind = -2, kSize = -3, kGroup = -4, kNumbers = -5 };

static int check(const Problem* p, int64_t size) {
    if (size != (int64_t)sizeof(Problem)) return kProblemSize;
    if (p->kind != kHalf && p->kind != kBrain) return kKind;
    if (p->size != 64 && p->size != 128) return kSize;
    if (p->kv_heads < 1 || p->heads % p->kv_heads || p->heads / p->kv_heads > 16) return kGroup;
    if (p->list_len < p->init_blocks + p->local_blocks + 1 || p->init_blocks < 0 || p->local_blocks < 0)
        return kNumbers;
#ifdef ULTRA_ONE
    if (p->kind != kBrain) return kKind;
    if (p->size != 64) return kSize;
#endif
    return 0;
}

// KERNEL<type, size, ...> for the type and size of the problem. ULTRA_ONE leaves only one of them,
// for builds that are slow to make, under sanitizers.
#ifdef ULTRA_ONE
#define ULTRA_PICK(KERNEL, ...) KERNEL<Brain, 64 __VA_ARGS__>
#else
#define ULTRA_PICK(KERNEL, ...)                                                                    \
    (p->kind == kHalf ? (p->size == 64 ? KERNEL<Half, 64 __VA_ARGS__> : KERNEL<Half, 128 __VA_ARGS__>) \
                      : (p->size == 64 ? KERNEL<Brain, 64 __VA_ARGS__> : KERNEL<Brain, 128 __VA_ARGS__>))
#endif

static unsigned tiles(int n, int of) { return (unsigned)((n + of - 1) / of); }

ULTRA_EXPORT int ultra_append(const Problem* p, int64_t size, void* stream) {
    if (int error = check(p, size)) return error;
    if (p->longest_q == 0) return 0;
    // Positions start anywhere in a block of 64, so they may reach over one more.
    const dim3 grid(tiles(p->longest_q, kBlock) + 1, p->kv_heads + (p->q_out ? p->heads : 0), p->sequences);
    return launch(p->kind == kHalf ? append_kernel<Half> : append_kernel<Brain>, grid, 128, 0, stream, *p);
}

ULTRA_EXPORT int ultra_select(const Problem* p, int64_t size, void* stream) {
    if (int error = check(p, size)) return error;
    if (p->longest_q == 0) return 0;
    const dim3 grid(tiles(p->longest_q, select_shape(*p).queries), p->kv_heads, p->sequences);
    return launch(ULTRA_PICK(select_kernel), grid, kThreads, select_shared(*p), stream, *p);
}

ULTRA_EXPORT int ultra_attend(const Problem* p, int64_t size, void* stream) {
    if (int error = check(p, size)) return error;
    if (p->longest_q == 0) return 0;
    const dim3 grid(tiles(p->longest_q, attend_queries(*p, 4)), p->kv_heads, p->sequences);
    const bool portable = p->portable || !has_warpgroups();
    return launch(portable ? ULTRA_PICK(attend_kernel, , 4, WarpProducts)
                           : ULTRA_PICK(attend_kernel, , 4, WarpgroupProducts),
                  grid, 4 * 32, attend_shared(*p), stream, *p);
}

ULTRA_EXPORT int ultra_decode(const Problem* p, int64_t size, void* stream) {
    if (int error = check(p, size)) return error;
    if (p->longest_q == 0) return 0;
    if (p->splits < 1) return kNumbers;
    const dim3 grid(p->splits, p->kv_heads, p->sequences * p->longest_q);
    const int threads = kDecodeWarps * 32;
    if (int error = launch(ULTRA_PICK(decode_total_kernel), grid, threads, decode_total_shared(*p), stream, *p))
        return error;
    if (int error = launch(ULTRA_PICK(decode_choose_kernel), grid, threads, decode_choose_shared(*p), stream, *p))
        return error;
    return launch(ULTRA_PICK(decode_attend_kernel), grid, kDecodeAttendWarps * 32, decode_attend_shared(*p),
                  stream, *p);
}

// The most shared memory that a block of threads of any kernel asks for, in bytes
ULTRA_EXPORT int64_t ultra_shared_memory(const Problem* p, int64_t size) {
    if (int error = check(p, size)) return error;
    size_t most = 0;
    for (size_t of : {select_shared(*p), attend_shared(*p), decode_total_shared(*p), decode_choose_shared(*p),
                      decode_attend_shared(*p)})
        most = of > most ? of : most;
    return (int64_t)most;
}

ULTRA_EXPORT const char* ultra_error(int code) {
    switch (code) {
        case kProblemSize: return "the library was built from other sources than the caller";
        case kKind: return "the type is neither half nor bfloat16";
        case kSize: return "the head size is neither 64 nor 128";
        case kGroup: return "the heads of a group are not 1 to 16";
        case kNumbers: return "the numbers of blocks or splits do not fit each other";
        default: return error_text(code);
    }
}

#ifdef ULTRA_EMULATE
ULTRA_EXPORT void ultra_shuffle(uint64_t seed) { emulator::seed = seed; }
#endif
