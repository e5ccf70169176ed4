// The few things that kernels ask of the machine, so that the same kernels run on a GPU (sm_80 and
// later) and, with ULTRA_EMULATE, on a CPU (emulate.h). Kernels use nothing else of CUDA.
#pragma once
#include <cmath>
#include <cstdint>

#ifdef ULTRA_EMULATE
#include "emulate.h"
#else

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#define ULTRA_KERNEL(threads) __global__ void __launch_bounds__(threads, 1)
#define ULTRA_DEVICE __device__ __forceinline__
#define ULTRA_BOTH __host__ __device__ inline
#define ULTRA_SHARED(name) extern __shared__ __align__(1024) unsigned char name[]

template <class Body, class Arg>
inline int launch(Body body, dim3 grid, int threads, size_t shared, void* stream, const Arg& arg) {
    if (shared > 48 * 1024) {
        auto set = cudaFuncSetAttribute((const void*)body, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                        (int)shared);
        if (set != cudaSuccess) return (int)set;
    }
    body<<<grid, threads, shared, (cudaStream_t)stream>>>(arg);
    return (int)cudaGetLastError();
}

ULTRA_DEVICE int thread() { return (int)threadIdx.x; }
ULTRA_DEVICE int block_x() { return (int)blockIdx.x; }
ULTRA_DEVICE int block_y() { return (int)blockIdx.y; }
ULTRA_DEVICE int block_z() { return (int)blockIdx.z; }

ULTRA_DEVICE void sync_block() { __syncthreads(); }
ULTRA_DEVICE void sync_warp() { __syncwarp(); }
ULTRA_DEVICE float shuffle_xor(float x, int mask) { return __shfl_xor_sync(~0u, x, mask); }
ULTRA_DEVICE uint32_t warp_ballot(bool x) { return __ballot_sync(~0u, x); }
ULTRA_DEVICE int warp_min(int x) { return __reduce_min_sync(~0u, x); }
ULTRA_DEVICE int count_bits(uint32_t x) { return __popc(x); }

ULTRA_DEVICE void atomic_or(int* at, int bits) { atomicOr(at, bits); }
ULTRA_DEVICE int atomic_add(int* at, int x) { return atomicAdd(at, x); }
ULTRA_DEVICE void fence() { __threadfence(); }
// What another block of threads has written may not come from this one's first-level cache.
ULTRA_DEVICE float load_fresh(const float* at) { return __ldcg(at); }

ULTRA_DEVICE float exp_2(float x) { return exp2f(x); }
ULTRA_DEVICE float log_2(float x) { return log2f(x); }
ULTRA_DEVICE float add(float a, float b) { return __fadd_rn(a, b); }  // never fused: bits are promised
ULTRA_DEVICE float mul(float a, float b) { return __fmul_rn(a, b); }
ULTRA_DEVICE uint32_t float_bits(float x) { return __float_as_uint(x); }

ULTRA_DEVICE uint32_t shared_address(const void* at) { return (uint32_t)__cvta_generic_to_shared(at); }

// 16 bytes to shared memory; zeros, with nothing read, where `real` is false.
ULTRA_DEVICE void copy_async(void* to, const void* from, bool real) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
                 "r"(real ? 16 : 0)
                 : "memory");
}
ULTRA_DEVICE void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N>
ULTRA_DEVICE void copy_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

ULTRA_DEVICE void load_matrices(uint32_t (&to)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(row))
                 : "memory");
}
ULTRA_DEVICE void load_matrices_turned(uint32_t (&to)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// The rest is for Hopper (sm_90a): four warps multiply their 64 rows together, asynchronously, and
// read one factor from shared memory. Elsewhere these exist to be compiled, and are not called.
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define ULTRA_WARPGROUPS 1
#define ULTRA_HOPPER(...) asm volatile(__VA_ARGS__)
#else
#define ULTRA_WARPGROUPS 0
#define ULTRA_HOPPER(...)
#endif

// What this thread's finished copies wrote, to the eyes of the tensor cores.
ULTRA_DEVICE void show_copies() { ULTRA_HOPPER("fence.proxy.async.shared::cta;" ::: "memory"); }
ULTRA_DEVICE void products_begin() { ULTRA_HOPPER("wgmma.fence.sync.aligned;" ::: "memory"); }
// Waits for all products begun. The sums are named so that nothing reads them earlier.
template <int N>
ULTRA_DEVICE void products_end(float (&sums)[N][4]) {
    ULTRA_HOPPER("wgmma.commit_group.sync.aligned;" ::: "memory");
    ULTRA_HOPPER("wgmma.wait_group.sync.aligned 0;" ::: "memory");
#pragma unroll
    for (int n = 0; n < N; ++n)
        for (int i = 0; i < 4; ++i) asm volatile("" : "+f"(sums[n][i])::"memory");
}

// c of 64 rows and 8 N columns, of which each warp holds 16 rows as for mma: c += a b, or c = a b.
// `b` describes 16 rows of it in shared memory (tiles.cuh), or 16 columns of its transpose.
#define ULTRA_4(n) "+f"(c[n][0]), "+f"(c[n][1]), "+f"(c[n][2]), "+f"(c[n][3])
#define ULTRA_32(n)                                                                              \
    ULTRA_4(n), ULTRA_4(n + 1), ULTRA_4(n + 2), ULTRA_4(n + 3), ULTRA_4(n + 4), ULTRA_4(n + 5), \
        ULTRA_4(n + 6), ULTRA_4(n + 7)
#define ULTRA_C32                                                                               \
    "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24," \
    "%25,%26,%27,%28,%29,%30,%31"
#define ULTRA_C64                                                                               \
    ULTRA_C32 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51," \
              "%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define ULTRA_PRODUCT(type)                                                                      \
    if constexpr (N == 8)                                                                        \
        ULTRA_HOPPER("{.reg .pred more; setp.ne.b32 more, %37, 0;"                               \
                     "wgmma.mma_async.sync.aligned.m64n64k16.f32." type "." type " {" ULTRA_C32  \
                     "}, {%32,%33,%34,%35}, %36, more, 1, 1, %38;}"                              \
                     : ULTRA_32(0)                                                               \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((int)more), "n"(TURNED)); \
    else                                                                                         \
        ULTRA_HOPPER("{.reg .pred more; setp.ne.b32 more, %69, 0;"                               \
                     "wgmma.mma_async.sync.aligned.m64n128k16.f32." type "." type " {" ULTRA_C64 \
                     "}, {%64,%65,%66,%67}, %68, more, 1, 1, %70;}"                              \
                     : ULTRA_32(0), ULTRA_32(8)                                                  \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((int)more), "n"(TURNED))

#define ULTRA_MMA(type)                                                                       \
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." type "." type                       \
                 ".f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"                  \
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])                             \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1))

struct Half {
    static ULTRA_DEVICE float wide(uint16_t x) { return __half2float(__ushort_as_half(x)); }
    static ULTRA_DEVICE uint16_t narrow(float x) { return __half_as_ushort(__float2half_rn(x)); }
    static ULTRA_DEVICE void mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
        ULTRA_MMA("f16");
    }
    template <bool TURNED, int N>
    static ULTRA_DEVICE void product(float (&c)[N][4], const uint32_t (&a)[4], uint64_t b, bool more) {
        ULTRA_PRODUCT("f16");
    }
};
struct Brain {
    static ULTRA_DEVICE float wide(uint16_t x) { return __bfloat162float(__ushort_as_bfloat16(x)); }
    static ULTRA_DEVICE uint16_t narrow(float x) { return __bfloat16_as_ushort(__float2bfloat16_rn(x)); }
    static ULTRA_DEVICE void mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
        ULTRA_MMA("bf16");
    }
    template <bool TURNED, int N>
    static ULTRA_DEVICE void product(float (&c)[N][4], const uint32_t (&a)[4], uint64_t b, bool more) {
        ULTRA_PRODUCT("bf16");
    }
};

// Whether the current device is one for which the kernels of warpgroups were built.
inline bool has_warpgroups() {
    int device = 0, major = 0, minor = 1;
    cudaGetDevice(&device);
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
    return major == 9 && minor == 0;
}
inline const char* error_text(int code) { return cudaGetErrorString((cudaError_t)code); }
#endif

template <class T>
ULTRA_DEVICE uint32_t pack(float low, float high) {
    return (uint32_t)T::narrow(low) | (uint32_t)T::narrow(high) << 16;
}
