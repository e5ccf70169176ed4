// A CPU in place of device.cuh: each thread of a block is a fibre, and a block runs after another.
//
// It checks what a GPU would let pass: lanes of a warp that meet different warp instructions, a
// barrier that not all threads reach, addresses off their alignment, shared memory read before an
// asynchronous copy was waited for (shared memory starts as NaN). Products of four warps (wgmma) read
// a second picture of shared memory, in which a copy is NaN from its start until it is waited for and
// then shown (fence.proxy.async); their sums are NaN until they are waited for. What matrices and
// products read of shared memory is followed in pieces of 16 bytes: what another warp copied, and no
// barrier of the block has passed on since, reads as NaN; a copy over what another warp has read, with
// no barrier since, becomes NaN. So it does not matter that products of four warps make them meet.
// Unless `seed` is 0, blocks and threads run in a shuffled order, warps side by side or far apart, and
// copies happen as late or as early as they may, so that other missing barriers show as a wrong result.
// Data races as such are not found, nor a missing sync_warp where lanes meet soon anyway.
#pragma once
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define ULTRA_ASAN 1
#else
#define ULTRA_ASAN 0
#endif

#define ULTRA_KERNEL(threads) void
#define ULTRA_DEVICE inline
#define ULTRA_BOTH inline
#define ULTRA_SHARED(name) unsigned char* name = emulator::shared

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

namespace emulator {

[[noreturn]] inline void die(const char* what) {
    std::fprintf(stderr, "emulator: %s\n", what);
    std::abort();
}

struct Copy {
    void* to;
    const void* from;
    bool real, lost;  // lost: it raced with a reader
};

inline void happen(const Copy& copy) {
    if (copy.lost)
        std::memset(copy.to, 0xff, 16);
    else if (copy.real)
        std::memcpy(copy.to, copy.from, 16);
    else
        std::memset(copy.to, 0, 16);
}

struct Sums {  // of unfinished products, out of the thread's sight
    float* of;
    int n;
    float value[64];
};
struct Product {
    float* of;
    int n;
    uint32_t left[4];
    uint64_t right;
    bool turned, more;
    float (*wide)(uint16_t);
};

constexpr size_t kStack = 128 * 1024;
constexpr uint32_t kSharedStart = 1024;  // the address of its first byte

// What is known of 16 bytes of shared memory. Times are the barriers that the block has passed.
constexpr int kPending = 0x7fffffff;
struct Piece {
    int writer = -1;               // the warp that copied it last,
    int waited = -1, shown = -1;   // and when it waited for the copy and showed it to the tensor cores
    int read = -1;                 // when it was read last,
    uint32_t readers = 0;          // and by which warps
};

struct Meeting {  // of the lanes of a warp, or of the threads of a block
    int generation = 0, arrived = 0, kind = 0;
};

struct Fibre {
    void* jump[5];
    ucontext_t boot;
    std::vector<char> stack;
    bool started = false, finished = false, fenced = false;
    int index = 0;
    const Meeting* waits = nullptr;  // until its generation is no more this one:
    int generation = 0;
    std::vector<Copy> copies;
    std::vector<size_t> groups;
    std::vector<void*> unseen;  // what finished copies wrote, not yet shown to the tensor cores
    std::vector<Sums> sums;
    std::vector<Product> products;
    void* fake_stack = nullptr;
};

struct Warp {
    Meeting meeting;
    alignas(16) unsigned char in[32][64];
    alignas(16) unsigned char out[32][32];
};

inline uint64_t seed = 0;  // 0: in order
inline bool eager = false;  // copies happen at once, not at the wait for them
inline unsigned char* shared = nullptr;
inline unsigned char* shown = nullptr;  // shared memory as the tensor cores see it
inline size_t shared_size = 0;
inline std::vector<Piece> pieces;  // of shared memory
inline Fibre* self = nullptr;
inline dim3 place;
inline int n_threads = 0;
inline std::vector<std::unique_ptr<Fibre>> fibres;
inline std::vector<Warp> warps;
inline std::vector<Meeting> warpgroups;
inline Meeting block;
inline std::function<void()> body;
inline void* scheduler[5];
inline std::mutex one_at_a_time;

inline Piece& piece(const void* at) {
    const size_t offset = (size_t)((const unsigned char*)at - shared);
    if (offset >= shared_size) die("a copy or a matrix is not in shared memory");
    return pieces[offset / 16];
}
inline void note_reader(Piece& of, uint32_t warps_reading) {
    if (of.read != block.generation) of.readers = 0;
    of.read = block.generation;
    of.readers |= warps_reading;
}

#if ULTRA_ASAN
inline const void* main_stack = nullptr;
inline size_t main_size = 0;
inline void* main_fake = nullptr;
#endif

// Switching by __builtin_setjmp, for swapcontext makes a system call each time. The jump is in a
// function of its own, as compilers require.
[[noreturn]] __attribute__((noinline)) inline void jump(void** to) { __builtin_longjmp(to, 1); }

__attribute__((noinline)) inline void to_scheduler() {
    Fibre& fibre = *self;
#if ULTRA_ASAN
    __sanitizer_start_switch_fiber(&fibre.fake_stack, main_stack, main_size);
#endif
    if (__builtin_setjmp(fibre.jump) == 0) jump(scheduler);
#if ULTRA_ASAN
    __sanitizer_finish_switch_fiber(self->fake_stack, nullptr, nullptr);
#endif
}

inline void live() {
#if ULTRA_ASAN
    __sanitizer_finish_switch_fiber(nullptr, &main_stack, &main_size);
#endif
    for (;;) {
        body();
        self->finished = true;
        to_scheduler();
    }
}

__attribute__((noinline)) inline void resume(Fibre& fibre) {
    self = &fibre;
#if ULTRA_ASAN
    __sanitizer_start_switch_fiber(&main_fake, fibre.stack.data(), kStack);
#endif
    if (__builtin_setjmp(scheduler) == 0) {
        if (fibre.started) jump(fibre.jump);
        fibre.started = true;
        getcontext(&fibre.boot);
        fibre.boot.uc_stack.ss_sp = fibre.stack.data();
        fibre.boot.uc_stack.ss_size = kStack;
        fibre.boot.uc_link = nullptr;
        makecontext(&fibre.boot, live, 0);
        setcontext(&fibre.boot);
    }
#if ULTRA_ASAN
    __sanitizer_finish_switch_fiber(main_fake, nullptr, nullptr);
#endif
}

template <class Last>
inline void wait_for(Meeting& meeting, int expected, int kind, Last last) {
    if (meeting.arrived == 0) meeting.kind = kind;
    if (meeting.kind != kind) die("threads that should act together meet different instructions");
    if (++meeting.arrived == expected) {
        last();
        meeting.arrived = 0;
        ++meeting.generation;
        return;
    }
    self->waits = &meeting;
    self->generation = meeting.generation;
    to_scheduler();
}

// What the 32 lanes of a warp do together: `act` sees all inputs and makes all outputs.
template <class Out, class In, class Act>
inline Out together(int kind, const In& in, Act act) {
    static_assert(sizeof(In) <= 64 && sizeof(Out) <= 32, "too large for the exchange");
    Warp& warp = warps[self->index / 32];
    const int lane = self->index % 32;
    std::memcpy(warp.in[lane], &in, sizeof(In));
    wait_for(warp.meeting, 32, kind, [&] {
        In ins[32];
        Out outs[32] = {};
        for (int i = 0; i < 32; ++i) std::memcpy(&ins[i], warp.in[i], sizeof(In));
        act(ins, outs);
        for (int i = 0; i < 32; ++i) std::memcpy(warp.out[i], &outs[i], sizeof(Out));
    });
    Out mine;
    std::memcpy(&mine, warp.out[lane], sizeof(Out));
    return mine;
}

// The warps in any order, and the lanes of each.
inline void shuffle_warps(std::vector<int>& order, std::mt19937_64& random) {
    std::vector<int> firsts;
    for (int first = 0; first < n_threads; first += 32) firsts.push_back(first);
    std::shuffle(firsts.begin(), firsts.end(), random);
    for (size_t i = 0; i < order.size(); ++i) order[i] = firsts[i / 32] + (int)(i % 32);
    for (auto at = order.begin(); at != order.end(); at += 32) std::shuffle(at, at + 32, random);
}

inline void run_block(std::vector<int>& order, std::mt19937_64& random) {
    block = Meeting();
    for (auto& warp : warps) warp.meeting = Meeting();
    for (int i = 0; i < n_threads; ++i) {
        Fibre& fibre = *fibres[i];
        fibre.finished = false;
        fibre.waits = nullptr;
        fibre.copies.clear();
        fibre.groups.clear();
        fibre.unseen.clear();
        fibre.sums.clear();
        fibre.products.clear();
        fibre.fenced = false;
    }
    warpgroups.assign(n_threads / 128 + 1, Meeting());
    // Shuffled blocks run all warps alike, or each warp as far ahead of the others as it comes.
    const bool alike = !seed || random() % 2;
    eager = seed && random() % 2;
    int left = n_threads;
    while (left) {
        if (seed) shuffle_warps(order, random);
        bool moved = false;
        for (int first = 0; first < n_threads; first += 32) {
            bool again = true;
            while (again) {
                again = false;
                for (int i = first; i < first + 32; ++i) {
                    Fibre& fibre = *fibres[order[i]];
                    if (fibre.finished) continue;
                    if (fibre.waits && fibre.waits->generation == fibre.generation) continue;
                    fibre.waits = nullptr;
                    resume(fibre);
                    again = true;
                    left -= fibre.finished;
                }
                moved |= again;
                if (alike) break;
            }
        }
        if (!moved) die("threads wait for others that have left or never come");
    }
}

}  // namespace emulator

template <class Body, class Arg>
inline int launch(Body kernel, dim3 grid, int threads, size_t size, void*, const Arg& arg) {
    using namespace emulator;
    std::lock_guard<std::mutex> guard(one_at_a_time);
    if (threads % 32 || threads < 32 || threads > 1024) return 9;
    n_threads = threads;
    while ((int)fibres.size() < threads) {
        fibres.push_back(std::make_unique<Fibre>());
        fibres.back()->index = (int)fibres.size() - 1;
        fibres.back()->stack.resize(kStack);
    }
    warps.resize(threads / 32);
    body = [&] { kernel(arg); };
    std::mt19937_64 random(seed);
    std::vector<int> order(threads);
    for (int i = 0; i < threads; ++i) order[i] = i;
    std::vector<dim3> places;
    for (unsigned z = 0; z < grid.z; ++z)
        for (unsigned y = 0; y < grid.y; ++y)
            for (unsigned x = 0; x < grid.x; ++x) places.push_back(dim3(x, y, z));
    if (seed) std::shuffle(places.begin(), places.end(), random);
    for (const dim3& at : places) {
        // Of the size that was asked for and no larger, so that a sanitizer sees what runs over.
        if (posix_memalign((void**)&shared, 1024, size ? size : 1)) return 2;
        std::vector<unsigned char> picture(size, 0xff);
        std::memset(shared, 0xff, size);
        shown = picture.data();
        shared_size = size;
        pieces.assign((size + 15) / 16, Piece());
        place = at;
        run_block(order, random);
        std::free(shared);
    }
    return 0;
}

inline int thread() { return emulator::self->index; }
inline int block_x() { return (int)emulator::place.x; }
inline int block_y() { return (int)emulator::place.y; }
inline int block_z() { return (int)emulator::place.z; }

struct Nothing {};
inline void sync_block() {
    emulator::wait_for(emulator::block, emulator::n_threads, 1, [] {});
}
inline void sync_warp() {
    emulator::together<Nothing>(2, Nothing{}, [](const Nothing*, Nothing*) {});
}
inline float shuffle_xor(float x, int mask) {
    return emulator::together<float>(100 + mask, x, [mask](const float* in, float* out) {
        for (int i = 0; i < 32; ++i) out[i] = in[i ^ mask];
    });
}
inline uint32_t warp_ballot(bool x) {
    return emulator::together<uint32_t>(3, x, [](const bool* in, uint32_t* out) {
        uint32_t all = 0;
        for (int i = 0; i < 32; ++i) all |= (uint32_t)in[i] << i;
        for (int i = 0; i < 32; ++i) out[i] = all;
    });
}
inline int warp_min(int x) {
    return emulator::together<int>(4, x, [](const int* in, int* out) {
        int least = in[0];
        for (int i = 1; i < 32; ++i) least = in[i] < least ? in[i] : least;
        for (int i = 0; i < 32; ++i) out[i] = least;
    });
}
inline int count_bits(uint32_t x) { return __builtin_popcount(x); }

inline void atomic_or(int* at, int bits) { *at |= bits; }
inline int atomic_add(int* at, int x) {
    int old = *at;
    *at += x;
    return old;
}
inline void fence() {}
inline float load_fresh(const float* at) { return *at; }

inline float exp_2(float x) { return std::exp2(x); }
inline float log_2(float x) { return std::log2(x); }
inline float add(float a, float b) { return a + b; }  // built with -ffp-contract=off
inline float mul(float a, float b) { return a * b; }
inline uint32_t float_bits(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    return bits;
}
inline float bits_float(uint32_t bits) {
    float x;
    std::memcpy(&x, &bits, 4);
    return x;
}

inline void copy_async(void* to, const void* from, bool real) {
    if ((uintptr_t)to % 16 || (real && (uintptr_t)from % 16))
        emulator::die("an asynchronous copy is not aligned to 16 bytes");
    auto& piece = emulator::piece(to);
    const int warp = emulator::self->index / 32;
    const bool lost = piece.read == emulator::block.generation && piece.readers & ~(1u << warp);
    piece.writer = warp;
    piece.waited = piece.shown = emulator::kPending;
    emulator::self->copies.push_back({to, from, real, lost});
    std::memset(emulator::shown + ((unsigned char*)to - emulator::shared), 0xff, 16);
    if (emulator::eager) emulator::happen(emulator::self->copies.back());
}
inline void copy_commit() { emulator::self->groups.push_back(emulator::self->copies.size()); }
template <int N>
inline void copy_wait() {
    auto& fibre = *emulator::self;
    if ((int)fibre.groups.size() <= N) return;
    const size_t done = fibre.groups[fibre.groups.size() - N - 1];
    for (size_t i = 0; i < done; ++i) {
        if (!emulator::eager) emulator::happen(fibre.copies[i]);
        fibre.unseen.push_back(fibre.copies[i].to);
        emulator::piece(fibre.copies[i].to).waited = emulator::block.generation;
    }
    fibre.copies.erase(fibre.copies.begin(), fibre.copies.begin() + done);
    fibre.groups.erase(fibre.groups.begin(), fibre.groups.end() - N);
    for (auto& end : fibre.groups) end -= done;
}

struct FourWords {
    uint32_t word[4];
};
inline FourWords matrices(const void* row, bool turned) {
    if ((uintptr_t)row % 16) emulator::die("a row of a matrix is not aligned to 16 bytes");
    const int warp = emulator::self->index / 32;
    return emulator::together<FourWords>(5 + turned, row, [=](const void* const* in, FourWords* out) {
        for (int m = 0; m < 4; ++m) {
            uint16_t x[8][8];
            for (int r = 0; r < 8; ++r) {
                auto& piece = emulator::piece(in[m * 8 + r]);
                emulator::note_reader(piece, 1u << warp);
                if (piece.writer >= 0 && piece.writer != warp && piece.waited >= emulator::block.generation)
                    std::memset(x[r], 0xff, 16);
                else
                    std::memcpy(x[r], in[m * 8 + r], 16);
            }
            for (int lane = 0; lane < 32; ++lane) {
                const int r = lane / 4, c = lane % 4 * 2;
                const uint16_t low = turned ? x[c][r] : x[r][c];
                const uint16_t high = turned ? x[c + 1][r] : x[r][c + 1];
                out[lane].word[m] = (uint32_t)low | (uint32_t)high << 16;
            }
        }
    });
}
inline void load_matrices(uint32_t (&to)[4], const void* row) {
    std::memcpy(to, matrices(row, false).word, 16);
}
inline void load_matrices_turned(uint32_t (&to)[4], const void* row) {
    std::memcpy(to, matrices(row, true).word, 16);
}

template <class T>
inline void emulated_mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    struct In {
        float c[4];
        uint32_t a[4], b[2];
    };
    struct Out {
        float c[4];
    };
    In mine;
    std::memcpy(mine.c, c, 16);
    std::memcpy(mine.a, a, 16);
    mine.b[0] = b0;
    mine.b[1] = b1;
    const Out made = emulator::together<Out>(7, mine, [](const In* in, Out* out) {
        float left[16][16], right[16][8];
        for (int lane = 0; lane < 32; ++lane) {
            const int group = lane / 4, pair = lane % 4 * 2;
            for (int i = 0; i < 4; ++i)
                for (int half = 0; half < 2; ++half)
                    left[group + i % 2 * 8][pair + half + i / 2 * 8] =
                        T::wide((uint16_t)(in[lane].a[i] >> 16 * half));
            for (int i = 0; i < 2; ++i)
                for (int half = 0; half < 2; ++half)
                    right[pair + half + i * 8][group] = T::wide((uint16_t)(in[lane].b[i] >> 16 * half));
        }
        float sum[16][8] = {};
        for (int r = 0; r < 16; ++r)
            for (int k = 0; k < 16; ++k)
                for (int n = 0; n < 8; ++n) sum[r][n] += left[r][k] * right[k][n];
        for (int lane = 0; lane < 32; ++lane)
            for (int i = 0; i < 4; ++i)
                out[lane].c[i] = in[lane].c[i] + sum[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
    });
    std::memcpy(c, made.c, 16);
}

#define ULTRA_WARPGROUPS 1
inline bool has_warpgroups() { return true; }
inline uint32_t shared_address(const void* at) {
    return emulator::kSharedStart + (uint32_t)((const unsigned char*)at - emulator::shared);
}
inline void show_copies() {
    for (void* to : emulator::self->unseen) {
        std::memcpy(emulator::shown + ((unsigned char*)to - emulator::shared), to, 16);
        emulator::piece(to).shown = emulator::block.generation;
    }
    emulator::self->unseen.clear();
}

namespace emulator {

inline float* sums_of(Fibre& fibre, float* of) {
    for (auto& sums : fibre.sums)
        if (sums.of == of) return sums.value;
    die("a product has no sums");
}

// An element of a factor in shared memory, by the matrix descriptors of the PTX ISA ("Asynchronous
// Warpgroup Level Matrix Shared Memory Layout") with the 128-byte swizzle: bits 4 to 6 of an address
// are turned by bits 7 to 9. Turned: rows are along the sum, and a panel has 64 columns.
inline uint16_t element(uint64_t descriptor, bool turned, int n, int k, uint32_t readers) {
    const uint32_t start = (descriptor & 0x3fff) << 4, leading = (descriptor >> 16 & 0x3fff) << 4;
    const uint32_t stride = (descriptor >> 32 & 0x3fff) << 4;
    if (descriptor >> 62 != 1 || (descriptor >> 49 & 7)) die("a descriptor is not of the 128-byte swizzle");
    uint32_t at = start;
    if (turned)
        at += n / 64 * leading + k / 8 * stride + k % 8 * 128 + n % 64 * 2;
    else
        at += n / 8 * stride + n % 8 * 128 + k * 2;
    at ^= (at >> 7 & 7) << 4;
    if (at < kSharedStart || at + 2 > kSharedStart + shared_size) die("a descriptor points out of shared memory");
    Piece& from = pieces[(at - kSharedStart) / 16];
    note_reader(from, readers);
    uint16_t found = 0xffff;
    if (from.shown < block.generation) std::memcpy(&found, shown + (at - kSharedStart), 2);
    return found;
}

// The product that the 128 threads from `first` on hold in the same place of their queues.
inline void multiply(int first, size_t which) {
    const Product lead = fibres[first]->products[which];
    static float right[16][128];
    const uint32_t readers = 0xfu << first / 32;
    for (int k = 0; k < 16; ++k)
        for (int n = 0; n < lead.n; ++n) right[k][n] = lead.wide(element(lead.right, lead.turned, n, k, readers));
    for (int warp = 0; warp < 4; ++warp) {
        float left[16][16];
        for (int lane = 0; lane < 32; ++lane) {
            const Product& mine = fibres[first + warp * 32 + lane]->products[which];
            if (mine.right != lead.right || mine.n != lead.n || mine.turned != lead.turned || mine.more != lead.more)
                die("threads of a warpgroup differ about a product");
            for (int i = 0; i < 4; ++i)
                for (int half = 0; half < 2; ++half)
                    left[lane / 4 + i % 2 * 8][lane % 4 * 2 + half + i / 2 * 8] =
                        lead.wide((uint16_t)(mine.left[i] >> 16 * half));
        }
        for (int lane = 0; lane < 32; ++lane) {
            Fibre& fibre = *fibres[first + warp * 32 + lane];
            float* sums = sums_of(fibre, fibre.products[which].of);
            for (int i = 0; i < lead.n / 2; ++i) {  // 4 a thread for each 8 columns
                const int row = lane / 4 + i / 2 % 2 * 8, n = i / 4 * 8 + lane % 4 * 2 + i % 2;
                float sum = 0.0f;
                for (int k = 0; k < 16; ++k) sum += left[row][k] * right[k][n];
                sums[i] = (lead.more ? sums[i] : 0.0f) + sum;
            }
        }
    }
}

// All that the warpgroup has begun.
inline void multiply_all(int first) {
    const size_t count = fibres[first]->products.size();
    for (int i = first; i < first + 128; ++i)
        if (fibres[i]->products.size() != count) die("threads of a warpgroup differ about a product");
    for (size_t which = 0; which < count; ++which) multiply(first, which);
    for (int i = first; i < first + 128; ++i) fibres[i]->products.clear();
}

inline void meet_warpgroup(int kind) {
    const int first = self->index / 128 * 128;
    if (first + 128 > n_threads) die("a warpgroup is not four warps");
    wait_for(warpgroups[first / 128], 128, kind, [&] {
        if (eager || kind == 10) multiply_all(first);
    });
}

}  // namespace emulator

inline void products_begin() {
    emulator::together<Nothing>(8, Nothing{}, [](const Nothing*, Nothing*) {});
    emulator::self->fenced = true;
}
template <bool TURNED, class T, int N>
inline void emulated_product(float (&c)[N][4], const uint32_t (&a)[4], uint64_t b, bool more) {
    auto& fibre = *emulator::self;
    if (!fibre.fenced) emulator::die("a product is not behind wgmma.fence");
    bool known = false;
    for (auto& sums : fibre.sums) known |= sums.of == c[0];
    if (!known) {
        fibre.sums.push_back({c[0], N * 4, {}});
        std::memcpy(fibre.sums.back().value, c, sizeof(c));
        for (auto& four : c) std::fill(four, four + 4, NAN);
    }
    fibre.products.push_back({c[0], N * 8, {a[0], a[1], a[2], a[3]}, b, TURNED, more, T::wide});
    if (emulator::eager)
        emulator::meet_warpgroup(9);
    else
        emulator::together<Nothing>(9, Nothing{}, [](const Nothing*, Nothing*) {});
}
template <int N>
inline void products_end(float (&c)[N][4]) {
    emulator::meet_warpgroup(10);
    auto& fibre = *emulator::self;
    std::memcpy(c, emulator::sums_of(fibre, c[0]), sizeof(c));
    fibre.sums.clear();
    fibre.fenced = false;
}

struct Brain {
    static float wide(uint16_t x) { return bits_float((uint32_t)x << 16); }
    static uint16_t narrow(float x) {
        const uint32_t bits = float_bits(x);
        if (x != x) return 0x7fff;
        return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    }
    static void mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
        emulated_mma<Brain>(c, a, b0, b1);
    }
    template <bool TURNED, int N>
    static void product(float (&c)[N][4], const uint32_t (&a)[4], uint64_t b, bool more) {
        emulated_product<TURNED, Brain>(c, a, b, more);
    }
};
struct Half {
    static float wide(uint16_t x) {
        const int exponent = x >> 10 & 31, fraction = x & 1023;
        const float sign = x >> 15 ? -1.0f : 1.0f;
        if (exponent == 31) return fraction ? NAN : sign * INFINITY;
        if (exponent == 0) return sign * std::ldexp((float)fraction, -24);
        return bits_float((uint32_t)(x >> 15) << 31 | (uint32_t)(exponent + 112) << 23 | fraction << 13);
    }
    static uint16_t narrow(float x) {
        const uint16_t sign = (uint16_t)(float_bits(x) >> 16 & 0x8000);
        if (x != x) return 0x7fff;
        const float size = std::fabs(x);
        if (size >= 65520.0f) return sign | 0x7c00;
        int exponent;
        std::frexp(size, &exponent);
        // Steps of 2^(exponent - 11), but never finer than those of subnormal numbers.
        const int step = size < 0x1p-14f ? -24 : exponent - 11;
        const long units = std::lrint(std::ldexp(size, -step));
        if (step == -24) return (uint16_t)(sign | units);  // a carry into the exponent is right too
        return (uint16_t)(sign + ((step + 24) << 10) + units);
    }
    static void mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
        emulated_mma<Half>(c, a, b0, b1);
    }
    template <bool TURNED, int N>
    static void product(float (&c)[N][4], const uint32_t (&a)[4], uint64_t b, bool more) {
        emulated_product<TURNED, Half>(c, a, b, more);
    }
};

inline const char* error_text(int code) { return code ? "the emulator could not start it" : "no error"; }
