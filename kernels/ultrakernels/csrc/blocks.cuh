// Which blocks a query sees: ranges, the best of the others, and walking the lists of a tile.
#pragma once
#include "tiles.cuh"

// Blocks [0, first_end) and [local, own] are always seen; those between compete for free places.
struct Forced {
    int own, first_end, local;
};
ULTRA_DEVICE Forced forced_blocks(const Problem& p, int position) {
    const int own = position / kBlock;
    const int local = highest(0, own - p.local_blocks);
    return {own, lowest(p.init_blocks, local), local};
}
ULTRA_DEVICE int free_places(const Problem& p) {
    return p.list_len - p.local_blocks - 1 - p.init_blocks;
}

ULTRA_DEVICE bool is_dense(const Problem& p, int sequence) {
    return p.decide_lens[sequence] < p.dense_len;
}

// Scores as keys that order as they do: 0 for what does not compete. NaN is worth nothing.
ULTRA_DEVICE uint32_t key_of(float worth) {
    return worth >= 0.0f ? float_bits(worth + 0.0f) + 1u : 0u;
}

// A warp keeps the `keep` best of n candidates, in their order (ascending blocks), and of equal
// ones the first. Candidates that do not compete have worth -1. What is left over is filled so.
ULTRA_DEVICE void keep_best(float* worth, int* block, int n, int keep) {
    const int lane = thread() % 32;
    sync_warp();
    uint32_t least = 0;  // the largest key that `keep` candidates reach
    for (int bit = 31; bit >= 0; --bit) {
        const uint32_t trial = least | 1u << bit;
        int reach = 0;
        for (int i = 0; i < n; i += 32)
            reach += count_bits(warp_ballot(i + lane < n && key_of(worth[i + lane]) >= trial));
        if (reach >= keep) least = trial;
    }
    int above = 0;
    for (int i = 0; i < n; i += 32)
        above += count_bits(warp_ballot(i + lane < n && key_of(worth[i + lane]) > least));
    int equal_left = least ? keep - above : 0, kept = 0;
    for (int i = 0; i < n; i += 32) {
        const bool real = i + lane < n;
        const float mine = real ? worth[i + lane] : -1.0f;
        const int mine_block = real ? block[i + lane] : -1;
        const uint32_t key = key_of(mine), before = (1u << lane) - 1u;
        const uint32_t equal = warp_ballot(least && key == least);
        const bool chosen = key > least || (key == least && least && count_bits(equal & before) < equal_left);
        const uint32_t all = warp_ballot(chosen);
        sync_warp();
        if (chosen) {
            const int to = kept + count_bits(all & before);
            worth[to] = mine;
            block[to] = mine_block;
        }
        sync_warp();
        kept += count_bits(all);
        equal_left -= lowest(equal_left, count_bits(equal));
    }
    for (int i = kept + lane; i < keep; i += 32) {
        worth[i] = -1.0f;
        block[i] = -1;
    }
    sync_warp();
}

// A warp writes the list of one query: the forced blocks about the chosen ones.
ULTRA_DEVICE void write_list(const Problem& p, int* list, const Forced& forced, const int* chosen, int n) {
    const int lane = thread() % 32;
    if (forced.own + 1 <= p.list_len) {  // few enough for all of them
        for (int i = lane; i < p.list_len; i += 32) list[i] = i <= forced.own ? i : -1;
        return;
    }
    for (int i = lane; i < p.list_len; i += 32) {
        const int free = i - forced.first_end, local = free - n;
        list[i] = free < 0 ? i : local < 0 ? chosen[free] : forced.local + local;
    }
}

// A warp walks the union of the lists of up to 64 queries, ascending; each lane reads two lists.
struct Walk {
    const int* list[2];
    int at[2], block[2], list_len, last_dense;
    bool dense;

    // Lists of `count` queries of `stride` integers from `lists` on; or, dense, all blocks up to
    // `last`.
    ULTRA_DEVICE void start(const int* lists, int count, int length, bool is_dense, int last) {
        dense = is_dense;
        last_dense = last;
        list_len = length;
        for (int i = 0; i < 2; ++i) {
            const int query = thread() % 32 + 32 * i;
            list[i] = lists + (int64_t)query * length;
            at[i] = 0;
            block[i] = dense ? 0 : query < count ? read(i) : kNone;
        }
    }
    ULTRA_DEVICE int read(int i) const {
        const int found = at[i] < list_len ? list[i][at[i]] : -1;
        return found < 0 ? kNone : found;
    }
    // The next block, or kNone; bit t of `who`: query t sees it.
    ULTRA_DEVICE int next(uint64_t& who) {
        if (dense) {
            const int now = block[0]++;
            who = ~0ull;
            return now <= last_dense ? now : kNone;
        }
        const int now = warp_min(lowest(block[0], block[1]));
        if (now == kNone) return kNone;
        who = 0;
        for (int i = 0; i < 2; ++i) {
            const bool mine = block[i] == now;
            who |= (uint64_t)warp_ballot(mine) << 32 * i;
            if (mine) {
                ++at[i];
                block[i] = read(i);
            }
        }
        return now;
    }
};

// The worth of a block is the best of the windows that overlap it. A tile of 64 windows from
// 60 t - 1 on holds all that blocks 15 t ... 15 t + 14 need: 61 windows, of which block i needs 5.
constexpr int kTileBlocks = 15;
ULTRA_DEVICE int tile_first_window(int tile) { return tile * kTileBlocks * kRatio - 1; }
ULTRA_DEVICE float best_window(const float* worth, int block_in_tile) {
    float best = worth[block_in_tile * kRatio];
    for (int i = 1; i <= kRatio; ++i) {
        const float other = worth[block_in_tile * kRatio + i];
        best = other > best || !is_number(other) ? other : best;  // NaN is kept, to be reported
    }
    return best;
}
