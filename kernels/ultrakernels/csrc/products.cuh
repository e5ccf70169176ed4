// The two products of attention with the tiles of keys and values, in two ways: by each warp for its
// own 16 rows (mma.sync, any GPU), or by four warps for their 64 rows (wgmma, Hopper). Rows of queries,
// scores and outs lie in the same registers either way.
#pragma once
#include "tiles.cuh"

template <class T, int D>
struct WarpProducts {
    static constexpr bool kBuilt = true;
    static constexpr int kRows = 16;  // that must act together
    static ULTRA_DEVICE void show() {}
    static ULTRA_DEVICE void score(float (&scores)[8][4], const uint32_t (&q)[D / 16][4], const uint16_t* keys) {
        score_tile<T, D>(scores, q, keys);
    }
    static ULTRA_DEVICE void weigh(float (&out)[D / 8][4], const uint32_t (&weights)[4][4],
                                   const uint16_t* values) {
        weigh_tile<T, D>(out, weights, values);
    }
};

// A factor in shared memory as wgmma is told of it, in units of 16 bytes: where it starts, from one
// panel of 64 columns to the next, from 8 rows to the next 8; and the 128-byte swizzle.
ULTRA_DEVICE uint64_t describe(const uint16_t* at) {
    return (uint64_t)(shared_address(at) >> 4 & 0x3fff) | (uint64_t)(kPanel * 2 >> 4) << 16 |
           (uint64_t)(8 * 128 >> 4) << 32 | 1ull << 62;
}

template <class T, int D>
struct WarpgroupProducts {
    static constexpr bool kBuilt = ULTRA_WARPGROUPS;
    static constexpr int kRows = 64;
    static ULTRA_DEVICE void show() { show_copies(); }

    // Keys are the columns of the factor: 16 numbers of each, along their rows.
    static ULTRA_DEVICE void score(float (&scores)[8][4], const uint32_t (&q)[D / 16][4], const uint16_t* keys) {
        products_begin();
#pragma unroll
        for (int k = 0; k < D / 16; ++k)
            T::template product<false>(scores, q[k], describe(keys + k / 4 * kPanel + k % 4 * 16), k > 0);
        products_end(scores);
    }
    // Values are its rows: 16 of them, across all panels.
    static ULTRA_DEVICE void weigh(float (&out)[D / 8][4], const uint32_t (&weights)[4][4],
                                   const uint16_t* values) {
        products_begin();
#pragma unroll
        for (int k = 0; k < 4; ++k)
            T::template product<true>(out, weights[k], describe(values + k * 16 * 64), true);
        products_end(out);
    }
};
