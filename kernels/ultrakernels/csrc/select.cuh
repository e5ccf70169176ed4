// Choosing blocks for the queries of a prompt. A block of 4 warps has 64 rows: as many queries as
// fit with all heads of a group. Scores stay on the chip: windows are scored, summed over the
// group, pooled to blocks, and of these the best are kept as they come.
#pragma once
#include "blocks.cuh"

constexpr int kRows = 64, kThreads = 128;
constexpr int kRowStride = 72;  // floats, so that a warp's stores meet different banks

struct SelectShape {
    int queries, candidates;  // of a block of threads; places for candidates of one query
};
ULTRA_BOTH SelectShape select_shape(const Problem& p) {
    const int queries = kRows / (p.heads / p.kv_heads);
    const int tiles = 128 / queries < 2 ? 2 : 128 / queries;  // between two rounds of keeping
    const int keep = p.list_len - p.local_blocks - 1 - p.init_blocks;
    return {queries, keep + tiles * 15};
}
ULTRA_BOTH size_t select_shared(const Problem& p) {
    const SelectShape shape = select_shape(p);
    return 2 * kRows * p.size * 2 + kRows * kRowStride * 4 + shape.queries * 64 * 4 +
           (size_t)shape.queries * shape.candidates * 8;
}

template <class T, int D>
ULTRA_KERNEL(kThreads) select_kernel(Problem p) {
    ULTRA_SHARED(shared);
    const SelectShape shape = select_shape(p);
    auto* tiles = (uint16_t*)shared;
    auto* rows = (float*)(tiles + 2 * kBlock * D);
    auto* sums = rows + kRows * kRowStride;
    auto* worth = sums + shape.queries * 64;
    auto* block = (int*)(worth + shape.queries * shape.candidates);

    const int sequence = block_z(), head = block_y(), warp = thread() / 32, lane = thread() % 32;
    const int group = p.heads / p.kv_heads;
    const int64_t q_start = p.q_starts[sequence], k_start = p.k_starts[sequence];
    const int n_q = (int)(p.q_starts[sequence + 1] - q_start), length = p.k_lens[sequence];
    const int first = block_x() * shape.queries, count = lowest(shape.queries, n_q - first);
    if (count <= 0 || !fits(p, n_q, length) || is_dense(p, sequence)) return;
    const int at = length - n_q + first, last = at + count - 1;  // positions
    const int keep = free_places(p);
    int* lists = p.lists + ((int64_t)head * p.tokens + q_start + first) * p.list_len;
    if (forced_blocks(p, last).own + 1 <= p.list_len || keep == 0) {  // no choice
        for (int query = warp; query < count; query += kThreads / 32)
            write_list(p, lists + (int64_t)query * p.list_len, forced_blocks(p, at + query), nullptr, 0);
        return;
    }

    uint32_t q[D / 16][4];
    load_queries<D>(q, [&](int r) -> const uint16_t* {
        const int row = warp * 16 + r, query = row / group;
        if (query >= count) return nullptr;
        return (const uint16_t*)p.q + (q_start + first + query) * p.q_row +
               (head * group + row % group) * p.q_head;
    });
    int position[2];
    for (int half = 0; half < 2; ++half)
        position[half] = at + lowest((warp * 16 + lane / 4 + half * 8) / group, count - 1);
    const float scale = p.scale * kLog2e;
    const int64_t stride = (int64_t)p.kv_heads * D;
    const auto* fine = (const uint16_t*)p.fine + (k_start / kFine) * stride + head * D;
    const auto* coarse = (const uint16_t*)p.coarse + (k_start / kCoarse) * stride + head * D;

    // What the scores of a row are normalised by
    const auto* means = p.exact_lse ? fine : coarse;
    const int step = p.exact_lse ? kFine : kCoarse;
    const int n_means = windows(last + 1, 2 * step, step);
    const int seen_means[2] = {windows(position[0] + 1, 2 * step, step),
                               windows(position[1] + 1, 2 * step, step)};
    Total total;
    total.clear();
    int n_tiles = (n_means + 63) / 64;
    if (n_tiles) load_tile<D>(tiles, means, stride, 0, n_means, thread(), kThreads);
    copy_commit();
    for (int t = 0; t < n_tiles; ++t) {
        if (t + 1 < n_tiles)
            load_tile<D>(tiles + (t + 1) % 2 * kBlock * D, means, stride, (t + 1) * 64, n_means, thread(),
                         kThreads);
        copy_commit();
        copy_wait<1>();
        sync_block();
        float scores[8][4];
        score_tile<T, D>(scores, q, tiles + t % 2 * kBlock * D);
        total.take(scores, scale, t * 64, seen_means);
        sync_block();
    }
    total.join_columns();
    const float lse[2] = {total.lse(0), total.lse(1)};

    const int n_fine = windows(last + 1, 2 * kFine, kFine);
    const int seen[2] = {windows(position[0] + 1, 2 * kFine, kFine),
                         windows(position[1] + 1, 2 * kFine, kFine)};
    n_tiles = (forced_blocks(p, last).local + kTileBlocks - 1) / kTileBlocks;
    int filled = 0;
    bool bad = false;
    load_tile<D>(tiles, fine, stride, tile_first_window(0), n_fine, thread(), kThreads);
    copy_commit();
    for (int t = 0; t < n_tiles; ++t) {
        if (t + 1 < n_tiles)
            load_tile<D>(tiles + (t + 1) % 2 * kBlock * D, fine, stride, tile_first_window(t + 1), n_fine,
                         thread(), kThreads);
        copy_commit();
        copy_wait<1>();
        sync_block();
        float scores[8][4];
        score_tile<T, D>(scores, q, tiles + t % 2 * kBlock * D);
        for (int half = 0; half < 2; ++half) {
            float* row = rows + (warp * 16 + lane / 4 + half * 8) * kRowStride;
#pragma unroll
            for (int n = 0; n < 8; ++n)
                for (int i = 0; i < 2; ++i) {
                    const int column = n * 8 + lane % 4 * 2 + i, window = tile_first_window(t) + column;
                    const bool real = window >= 0 && window < seen[half];
                    row[column] = real ? exp_2(scores[n][half * 2 + i] * scale - lse[half]) : 0.0f;
                }
        }
        sync_block();
        for (int i = thread(); i < count * 64; i += kThreads) {
            float sum = 0.0f;
            for (int h = 0; h < group; ++h) sum += rows[(i / 64 * group + h) * kRowStride + i % 64];
            sums[i] = sum;
        }
        sync_block();
        for (int i = thread(); i < count * kTileBlocks; i += kThreads) {
            const int query = i / kTileBlocks, mine = i % kTileBlocks, b = t * kTileBlocks + mine;
            const bool competes = b >= p.init_blocks && b < forced_blocks(p, at + query).local;
            const float best = best_window(sums + query * 64, mine);
            bad |= competes && !is_number(best);
            worth[query * shape.candidates + filled + mine] = competes ? best : -1.0f;
            block[query * shape.candidates + filled + mine] = b;
        }
        filled += kTileBlocks;
        if (filled + kTileBlocks > shape.candidates || t + 1 == n_tiles) {
            sync_block();
            for (int query = warp; query < count; query += kThreads / 32)
                keep_best(worth + query * shape.candidates, block + query * shape.candidates, filled, keep);
            filled = keep;
        }
    }
    if (bad) report(p, kNotANumber);
    for (int query = warp; query < count; query += kThreads / 32)
        write_list(p, lists + (int64_t)query * p.list_len, forced_blocks(p, at + query),
                   block + query * shape.candidates, keep);
}
