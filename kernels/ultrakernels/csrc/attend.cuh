// Attention of the queries of a prompt. A block of threads has 16 rows a warp, neighbouring queries
// with all heads of a group, and visits the union of their lists once: keys and values are loaded
// once for all. Rows that act together (Products::kRows) and none of which sees a block only wait.
#pragma once
#include "blocks.cuh"
#include "products.cuh"

ULTRA_BOTH int attend_queries(const Problem& p, int warps) {
    const int queries = 16 * warps / (p.heads / p.kv_heads);
    return queries < 64 ? queries : 64;  // a walk tells at most 64 queries apart
}
ULTRA_BOTH size_t attend_shared(const Problem& p) { return 4 * kBlock * p.size * 2; }

template <class T, int D, int WARPS, template <class, int> class Way>
ULTRA_KERNEL(WARPS * 32) attend_kernel(Problem p) {
    using Products = Way<T, D>;
    if (!Products::kBuilt) return;  // for another GPU than this one
    ULTRA_SHARED(shared);
    auto* keys = (uint16_t*)shared;  // two tiles, then two of values
    auto* values = keys + 2 * kBlock * D;

    const int sequence = block_z(), head = block_y(), warp = thread() / 32, lane = thread() % 32;
    const int group = p.heads / p.kv_heads, queries = attend_queries(p, WARPS);
    const int64_t q_start = p.q_starts[sequence], k_start = p.k_starts[sequence];
    const int n_q = (int)(p.q_starts[sequence + 1] - q_start), length = p.k_lens[sequence];
    const int first = block_x() * queries, count = lowest(queries, n_q - first);
    if (count <= 0 || !fits(p, n_q, length)) return;
    const int at = length - n_q + first;  // position of the first query
    const auto* k = (const uint16_t*)p.k + k_start * p.k_row + head * p.k_head;
    const auto* v = (const uint16_t*)p.v + k_start * p.v_row + head * p.v_head;

    uint32_t q[D / 16][4];
    load_queries<D>(q, [&](int r) -> const uint16_t* {
        const int row = warp * 16 + r, query = row / group;
        if (query >= count) return nullptr;
        return (const uint16_t*)p.q + (q_start + first + query) * p.q_row +
               (head * group + row % group) * p.q_head;
    });
    int query_of[2], row_of[2];
    for (int half = 0; half < 2; ++half) {
        row_of[half] = warp * 16 + lane / 4 + half * 8;
        query_of[half] = lowest(row_of[half] / group, 63);
    }
    uint64_t mine = 0;  // the queries of the rows that act together with this warp's
    for (int r = 0; r < Products::kRows; ++r) {
        const int query = (warp * 16 / Products::kRows * Products::kRows + r) / group;
        if (query < count) mine |= 1ull << query;
    }

    Walk walk;
    walk.start(p.lists + ((int64_t)head * p.tokens + q_start + first) * p.list_len, count, p.list_len,
               is_dense(p, sequence), (at + count - 1) / kBlock);
    Softmax<D> softmax;
    softmax.clear();
    const auto load = [&](int block, int stage) {
        load_tile<D>(keys + stage * kBlock * D, k, p.k_row, block * kBlock, length, thread(), WARPS * 32);
        load_tile<D>(values + stage * kBlock * D, v, p.v_row, block * kBlock, length, thread(), WARPS * 32);
    };
    uint64_t who = 0, next_who = 0;
    int block = walk.next(who);
    if (block != kNone) load(block, 0);
    copy_commit();
    for (int stage = 0; block != kNone; stage ^= 1) {
        const int next = walk.next(next_who);
        if (next != kNone) load(next, stage ^ 1);
        copy_commit();
        copy_wait<1>();
        Products::show();
        sync_block();
        if (who & mine) {
            float scores[8][4];
            Products::score(scores, q, keys + stage * kBlock * D);
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                // Keys of this tile that the row sees: all up to its own position, or none
                const int query = query_of[half];
                const int upto = who >> query & 1 ? at + query - block * kBlock : -1;
#pragma unroll
                for (int n = 0; n < 8; ++n)
                    for (int i = 0; i < 2; ++i) {
                        float& score = scores[n][half * 2 + i];
                        score = n * 8 + lane % 4 * 2 + i <= upto ? score * (p.scale * kLog2e) : -infinity();
                    }
            }
            uint32_t weights[4][4];
            softmax.template take<T>(weights, scores);
            Products::weigh(softmax.out, weights, values + stage * kBlock * D);
        }
        sync_block();
        block = next;
        who = next_who;
    }
    softmax.finish();

    bool bad = false;
    for (int half = 0; half < 2; ++half) {
        if (row_of[half] / group >= count) continue;
        const int64_t row = (q_start + first + query_of[half]) * p.heads + head * group + row_of[half] % group;
        const float sum = softmax.sum[half], share = 1.0f / sum;
        const float lse = softmax.max[half] * kLn2 + log_2(sum) * kLn2;
        bad |= !(lse > -infinity() && lse < infinity());
        if (lane % 4 == 0 && p.lse) p.lse[row] = lse;
        auto* out = (uint16_t*)p.out + row * D;
#pragma unroll
        for (int n = 0; n < D / 8; ++n)
            *(uint32_t*)(out + n * 8 + lane % 4 * 2) =
                pack<T>(softmax.out[n][half * 2] * share, softmax.out[n][half * 2 + 1] * share);
    }
    if (bad) report(p, kNotANumber);
}
