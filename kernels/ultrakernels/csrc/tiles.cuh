// Tiles of 64 keys in shared memory, and what a warp does with 16 rows of queries and one of them.
//
// Fragments are those of mma.m16n8k16: of its 16 rows a thread holds rows lane / 4 ("half" 0) and
// lane / 4 + 8 ("half" 1); of each 8 columns of scores it holds lane % 4 * 2 and the next.
#pragma once
#include "device.cuh"
#include "problem.h"

constexpr int kBlock = 64;           // keys of a block, and rows of a tile
constexpr int kFine = 16;            // keys between fine windows, which are twice as long
constexpr int kCoarse = 64;          // keys between coarse windows, likewise
constexpr int kRatio = kBlock / kFine;
constexpr float kLog2e = 1.4426950408889634f;
constexpr float kLn2 = 0.6931471805599453f;
constexpr int kNone = 0x7fffffff;

ULTRA_DEVICE int lowest(int a, int b) { return a < b ? a : b; }
ULTRA_DEVICE int highest(int a, int b) { return a > b ? a : b; }
ULTRA_DEVICE bool is_number(float x) { return x == x; }
ULTRA_DEVICE float infinity() { return INFINITY; }

ULTRA_DEVICE void report(const Problem& p, Status what) {
    if (p.status) atomic_or(p.status, what);
}

// Lengths that do not fit are reported when keys are appended, and must not be read by.
ULTRA_DEVICE bool fits(const Problem& p, int n_q, int length) {
    return n_q <= length && (p.capacity == 0 || length <= p.capacity);
}

// Windows of `size` keys, `stride` apart, that end among the first `length` keys.
ULTRA_DEVICE int windows(int length, int size, int stride) {
    return length < size ? 0 : (length - size) / stride + 1;
}

// Where 8 elements lie. 64 columns are a panel of 128-byte rows, whose 16-byte chunks are turned
// about so that no 8 rows share a bank: the "128-byte swizzle" that wgmma reads.
constexpr int kPanel = kBlock * 64;
ULTRA_DEVICE int place_in_tile(int row, int chunk) {
    return chunk / 8 * kPanel + row * 64 + (chunk % 8 ^ (row & 7)) * 8;
}

// Rows [first, first + 64) of a matrix; rows outside [0, end) become zeros.
template <int D>
ULTRA_DEVICE void load_tile(uint16_t* tile, const uint16_t* rows, int64_t stride, int first, int end,
                            int member, int members) {
    for (int i = member; i < kBlock * (D / 8); i += members) {
        const int row = i / (D / 8), chunk = i % (D / 8), at = first + row;
        const bool real = at >= 0 && at < end;
        copy_async(tile + place_in_tile(row, chunk), real ? rows + at * stride + chunk * 8 : rows, real);
    }
}

// A warp's 16 rows of queries. `row_of(r)` is where row r starts, or null: a row of zeros.
template <int D, class RowOf>
ULTRA_DEVICE void load_queries(uint32_t (&q)[D / 16][4], RowOf row_of) {
    const int lane = thread() % 32;
    for (int half = 0; half < 2; ++half) {
        const uint16_t* row = row_of(lane / 4 + half * 8);
#pragma unroll
        for (int k = 0; k < D / 16; ++k) {
            for (int side = 0; side < 2; ++side) {
                const int at = k * 16 + side * 8 + lane % 4 * 2;
                q[k][side * 2 + half] = row ? *(const uint32_t*)(row + at) : 0u;
            }
        }
    }
}

// scores[n][half * 2 + i]: row lane / 4 + 8 half, key n * 8 + lane % 4 * 2 + i. Not yet scaled.
template <class T, int D>
ULTRA_DEVICE void score_tile(float (&scores)[8][4], const uint32_t (&q)[D / 16][4], const uint16_t* tile) {
    const int lane = thread() % 32;
#pragma unroll
    for (int n = 0; n < 8; ++n)
        for (int i = 0; i < 4; ++i) scores[n][i] = 0.0f;
#pragma unroll
    for (int k = 0; k < D / 16; ++k) {
#pragma unroll
        for (int n = 0; n < 4; ++n) {
            uint32_t keys[4];
            const int row = n * 16 + lane / 16 * 8 + lane % 8;
            load_matrices(keys, tile + place_in_tile(row, 2 * k + lane / 8 % 2));
            T::mma(scores[2 * n], q[k], keys[0], keys[1]);
            T::mma(scores[2 * n + 1], q[k], keys[2], keys[3]);
        }
    }
}

// out += weights values, for 16 rows of weights over the 64 rows of a tile of values.
template <class T, int D>
ULTRA_DEVICE void weigh_tile(float (&out)[D / 8][4], const uint32_t (&weights)[4][4], const uint16_t* tile) {
    const int lane = thread() % 32;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
#pragma unroll
        for (int n = 0; n < D / 16; ++n) {
            uint32_t values[4];
            const int row = k * 16 + lane / 8 % 2 * 8 + lane % 8;
            load_matrices_turned(values, tile + place_in_tile(row, 2 * n + lane / 16));
            T::mma(out[2 * n], weights[k], values[0], values[1]);
            T::mma(out[2 * n + 1], weights[k], values[2], values[3]);
        }
    }
}

// Rows of an unfinished softmax: out / sum is the result, max is of scaled scores in base 2. `sum`
// is of this thread's own columns until `finish`.
template <int D>
struct Softmax {
    float out[D / 8][4];
    float max[2], sum[2];

    ULTRA_DEVICE void clear() {
#pragma unroll
        for (int n = 0; n < D / 8; ++n)
            for (int i = 0; i < 4; ++i) out[n][i] = 0.0f;
        for (int half = 0; half < 2; ++half) {
            max[half] = -infinity();
            sum[half] = 0.0f;
        }
    }

    // Scores, scaled and in base 2, with -inf for keys that are not seen, become the weights of
    // their values, and what was added up before fades.
    template <class T>
    ULTRA_DEVICE void take(uint32_t (&weights)[4][4], const float (&scores)[8][4]) {
        float fade[2];
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            float top = max[half];
#pragma unroll
            for (int n = 0; n < 8; ++n)
                for (int i = 0; i < 2; ++i) top = fmaxf(top, scores[n][half * 2 + i]);
            top = fmaxf(top, shuffle_xor(top, 1));
            top = fmaxf(top, shuffle_xor(top, 2));
            const float base = top == -infinity() ? 0.0f : top;
            fade[half] = exp_2(max[half] - base);
            max[half] = top;
            sum[half] *= fade[half];
#pragma unroll
            for (int n = 0; n < 8; ++n) {
                const float a = exp_2(scores[n][half * 2] - base);
                const float b = exp_2(scores[n][half * 2 + 1] - base);
                sum[half] += a + b;
                weights[n / 2][n % 2 * 2 + half] = pack<T>(a, b);
            }
        }
#pragma unroll
        for (int n = 0; n < D / 8; ++n)
            for (int i = 0; i < 4; ++i) out[n][i] *= fade[i / 2];
    }

    ULTRA_DEVICE void finish() {
        for (int half = 0; half < 2; ++half) {
            sum[half] += shuffle_xor(sum[half], 1);
            sum[half] += shuffle_xor(sum[half], 2);
        }
    }
};

// The running maximum and sum of a softmax of which only the normaliser is wanted.
struct Total {
    float max[2], sum[2];

    ULTRA_DEVICE void clear() {
        for (int half = 0; half < 2; ++half) {
            max[half] = -infinity();
            sum[half] = 0.0f;
        }
    }

    // Of 64 windows from `first` on, row half sees those below seen[half].
    ULTRA_DEVICE void take(const float (&scores)[8][4], float scale, int first, const int (&seen)[2]) {
        const int lane = thread() % 32;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            float top = max[half];
#pragma unroll
            for (int n = 0; n < 8; ++n)
                for (int i = 0; i < 2; ++i)
                    if (first + n * 8 + lane % 4 * 2 + i < seen[half])
                        top = fmaxf(top, scores[n][half * 2 + i] * scale);
            const float base = top == -infinity() ? 0.0f : top;
            sum[half] *= exp_2(max[half] - base);
#pragma unroll
            for (int n = 0; n < 8; ++n)
                for (int i = 0; i < 2; ++i)
                    if (first + n * 8 + lane % 4 * 2 + i < seen[half])
                        sum[half] += exp_2(scores[n][half * 2 + i] * scale - base);
            max[half] = top;
        }
    }

    ULTRA_DEVICE void add_in(int half, float other_max, float other_sum) {
        const float top = fmaxf(max[half], other_max);
        const float base = top == -infinity() ? 0.0f : top;
        sum[half] = sum[half] * exp_2(max[half] - base) + other_sum * exp_2(other_max - base);
        max[half] = top;
    }

    ULTRA_DEVICE void join_columns() {
        for (int half = 0; half < 2; ++half)
            for (int mask = 1; mask <= 2; mask *= 2) {
                const float other_max = shuffle_xor(max[half], mask);
                const float other_sum = shuffle_xor(sum[half], mask);
                add_in(half, other_max, other_sum);
            }
    }

    // Base 2. A row that saw nothing is not normalised: all its blocks are seen anyway.
    ULTRA_DEVICE float lse(int half) const {
        return sum[half] == 0.0f ? 0.0f : max[half] + log_2(sum[half]);
    }
};
