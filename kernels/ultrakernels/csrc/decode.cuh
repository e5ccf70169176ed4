// One query, or a few, of each sequence against a cache. There is little to do and much to read, so
// windows and blocks are split over many blocks of threads; the last of them to finish puts the
// parts together. Counters start and end at 0, so that a recorded graph can be replayed.
#pragma once
#include "blocks.cuh"

constexpr int kDecodeWarps = 4;        // that score windows
constexpr int kDecodeAttendWarps = 2;  // that attend: they hold keys and values at a time

// One query and head of keys: the heads of a group are the rows of a warp.
struct Place {
    int sequence, head, group, position, length;
    int64_t token, k_start, pair;  // pair: token * kv_heads + head
    bool real;

    ULTRA_DEVICE explicit Place(const Problem& p) {
        sequence = block_z() / p.longest_q;
        head = block_y();
        group = p.heads / p.kv_heads;
        const int query = block_z() % p.longest_q, q_start = p.q_starts[sequence];
        const int n_q = p.q_starts[sequence + 1] - q_start;
        length = p.k_lens[sequence];
        real = query < n_q && fits(p, n_q, length);
        position = length - n_q + query;
        token = q_start + query;
        k_start = p.k_starts[sequence];
        pair = token * p.kv_heads + head;
    }
    template <int D>
    ULTRA_DEVICE void queries(const Problem& p, uint32_t (&q)[D / 16][4]) const {
        load_queries<D>(q, [&](int r) -> const uint16_t* {
            if (r >= group) return nullptr;
            return (const uint16_t*)p.q + token * p.q_row + (head * group + r) * p.q_head;
        });
    }
    // Whether all blocks are seen, so that none need be chosen
    ULTRA_DEVICE bool no_choice(const Problem& p) const {
        return forced_blocks(p, position).own + 1 <= p.list_len || free_places(p) == 0;
    }
};

// True in all threads of the last block of threads to come here, which sees what the others wrote.
ULTRA_DEVICE bool comes_last(int* counter, int expected, int* word) {
    fence();
    sync_block();
    if (thread() == 0) *word = atomic_add(counter, 1) == expected - 1;
    sync_block();
    const bool last = *word != 0;
    if (last && thread() == 0) *counter = 0;
    fence();
    return last;
}

ULTRA_BOTH size_t decode_total_shared(const Problem& p) {
    return kDecodeWarps * (kBlock * p.size * 2 + 16 * 2 * 4);
}

// Maximum and sum of the normalising windows, for a share of them.
template <class T, int D>
ULTRA_KERNEL(kDecodeWarps * 32) decode_total_kernel(Problem p) {
    ULTRA_SHARED(shared);
    auto* tile = (uint16_t*)shared + thread() / 32 * kBlock * D;
    auto* parts = (float*)((uint16_t*)shared + kDecodeWarps * kBlock * D);
    const Place place(p);
    if (!place.real || is_dense(p, place.sequence) || place.no_choice(p)) return;
    const int warp = thread() / 32, lane = thread() % 32;
    uint32_t q[D / 16][4];
    place.queries<D>(p, q);
    const int64_t stride = (int64_t)p.kv_heads * D;
    const int step = p.exact_lse ? kFine : kCoarse;
    const auto* means =
        (const uint16_t*)(p.exact_lse ? p.fine : p.coarse) + (place.k_start / step) * stride + place.head * D;
    const int n = windows(place.position + 1, 2 * step, step);
    const int seen[2] = {n, n};
    Total total;
    total.clear();
    for (int first = (block_x() * kDecodeWarps + warp) * 64; first < n; first += p.splits * kDecodeWarps * 64) {
        load_tile<D>(tile, means, stride, first, n, lane, 32);
        copy_commit();
        copy_wait<0>();
        sync_warp();
        float scores[8][4];
        score_tile<T, D>(scores, q, tile);
        total.take(scores, p.scale * kLog2e, first, seen);
        sync_warp();
    }
    total.join_columns();
    if (lane % 4 == 0)
        for (int half = 0; half < 2; ++half) {
            float* part = parts + (warp * 16 + lane / 4 + half * 8) * 2;
            part[0] = total.max[half];
            part[1] = total.sum[half];
        }
    sync_block();
    if (thread() < 16) {
        total.clear();
        for (int w = 0; w < kDecodeWarps; ++w)
            total.add_in(0, parts[(w * 16 + thread()) * 2], parts[(w * 16 + thread()) * 2 + 1]);
        float* part = p.part_sums + ((place.pair * p.splits + block_x()) * 16 + thread()) * 2;
        part[0] = total.max[0];
        part[1] = total.sum[0];
    }
}

ULTRA_BOTH int decode_candidates(const Problem& p) {
    const int keep = p.list_len - p.local_blocks - 1 - p.init_blocks;
    return keep + (keep < 192 ? 192 : keep);
}
ULTRA_BOTH size_t decode_choose_shared(const Problem& p) {
    return kDecodeWarps * (kBlock * p.size * 2 + 64 * 4 + (size_t)decode_candidates(p) * 8) + 16;
}

// The worth of each block, for a share of them; the last to finish chooses.
template <class T, int D>
ULTRA_KERNEL(kDecodeWarps * 32) decode_choose_kernel(Problem p) {
    ULTRA_SHARED(shared);
    const int warp = thread() / 32, lane = thread() % 32, candidates = decode_candidates(p);
    auto* tile = (uint16_t*)shared + warp * kBlock * D;
    auto* all_sums = (float*)((uint16_t*)shared + kDecodeWarps * kBlock * D);
    auto* all_worth = all_sums + kDecodeWarps * 64;
    auto* all_block = (int*)(all_worth + kDecodeWarps * candidates);
    auto* word = all_block + kDecodeWarps * candidates;
    float* sums = all_sums + warp * 64;
    const Place place(p);
    if (!place.real || is_dense(p, place.sequence)) return;
    int* list = p.lists + ((int64_t)place.head * p.tokens + place.token) * p.list_len;
    const Forced forced = forced_blocks(p, place.position);
    const int keep = free_places(p);
    if (place.no_choice(p)) {
        if (block_x() == 0 && warp == 0) write_list(p, list, forced, nullptr, 0);
        return;
    }

    uint32_t q[D / 16][4];
    place.queries<D>(p, q);
    float lse[2];
    Total total;
    total.clear();
    for (int half = 0; half < 2; ++half) {
        const int row = lane / 4 + half * 8;
        for (int split = 0; split < p.splits; ++split) {
            const float* part = p.part_sums + ((place.pair * p.splits + split) * 16 + row) * 2;
            total.add_in(half, part[0], part[1]);
        }
        lse[half] = total.lse(half);
    }
    const int64_t stride = (int64_t)p.kv_heads * D;
    const auto* fine = (const uint16_t*)p.fine + (place.k_start / kFine) * stride + place.head * D;
    const int n = windows(place.position + 1, 2 * kFine, kFine);
    float* worths = p.worths + place.pair * p.max_blocks;
    bool bad = false;
    const int n_tiles = (forced.local + kTileBlocks - 1) / kTileBlocks;
    for (int t = block_x() * kDecodeWarps + warp; t < n_tiles; t += p.splits * kDecodeWarps) {
        load_tile<D>(tile, fine, stride, tile_first_window(t), n, lane, 32);
        copy_commit();
        copy_wait<0>();
        sync_warp();
        float scores[8][4];
        score_tile<T, D>(scores, q, tile);
#pragma unroll
        for (int c = 0; c < 8; ++c)
            for (int i = 0; i < 2; ++i) {
                const int column = c * 8 + lane % 4 * 2 + i, window = tile_first_window(t) + column;
                float sum = 0.0f;
                for (int half = 0; half < 2; ++half)
                    if (lane / 4 + half * 8 < place.group && window >= 0 && window < n)
                        sum += exp_2(scores[c][half * 2 + i] * (p.scale * kLog2e) - lse[half]);
                for (int mask = 4; mask <= 16; mask *= 2) sum += shuffle_xor(sum, mask);
                if (lane < 4) sums[column] = sum;
            }
        sync_warp();
        const int b = t * kTileBlocks + lane;
        if (lane < kTileBlocks && b < forced.local) {
            const float best = best_window(sums, lane);
            bad |= b >= p.init_blocks && !is_number(best);
            worths[b] = best;
        }
        sync_warp();
    }
    if (bad) report(p, kNotANumber);
    if (!comes_last(p.counters + place.pair, p.splits, word)) return;

    // Each warp keeps the best of a quarter of the blocks; the first warp the best of these.
    const int from = p.init_blocks, share = (forced.local - from + kDecodeWarps - 1) / kDecodeWarps;
    const int end = lowest(forced.local, from + (warp + 1) * share);
    float* worth = all_worth + warp * candidates;
    int* block = all_block + warp * candidates;
    int filled = 0, next = from + warp * share;
    do {
        const int more = highest(0, lowest(candidates - filled, end - next));
        for (int i = lane; i < more; i += 32) {
            worth[filled + i] = load_fresh(worths + next + i);
            block[filled + i] = next + i;
        }
        keep_best(worth, block, filled + more, keep);
        next += more;
        filled = keep;
    } while (next < end);
    sync_block();
    if (warp > 0) return;
    for (int w = 1; w < kDecodeWarps; ++w) {
        for (int i = lane; i < keep; i += 32) {
            worth[keep + i] = all_worth[w * candidates + i];
            block[keep + i] = all_block[w * candidates + i];
        }
        keep_best(worth, block, 2 * keep, keep);
    }
    write_list(p, list, forced, block, keep);
}

ULTRA_BOTH size_t decode_attend_shared(const Problem& p) {
    const size_t tiles = kDecodeAttendWarps * 2 * kBlock * p.size * 2, shares = (size_t)p.splits * 16 * 4;
    return (tiles > shares ? tiles : shares) + 16;
}

// Attention over a share of the blocks; the last to finish merges the shares.
template <class T, int D>
ULTRA_KERNEL(kDecodeAttendWarps * 32) decode_attend_kernel(Problem p) {
    ULTRA_SHARED(shared);
    const int warp = thread() / 32, lane = thread() % 32;
    auto* word = (int*)(shared + decode_attend_shared(p) - 16);
    auto* keys = (uint16_t*)shared + warp * 2 * kBlock * D;
    auto* values = keys + kBlock * D;
    const Place place(p);
    if (!place.real) return;
    const bool dense = is_dense(p, place.sequence);
    const int own = place.position / kBlock, n_blocks = dense ? own + 1 : lowest(own + 1, p.list_len);
    const int share = (n_blocks + p.splits - 1) / p.splits;
    const int from = block_x() * share, end = lowest(n_blocks, from + share);
    const int* list = dense ? nullptr : p.lists + ((int64_t)place.head * p.tokens + place.token) * p.list_len;
    const auto* k = (const uint16_t*)p.k + place.k_start * p.k_row + place.head * p.k_head;
    const auto* v = (const uint16_t*)p.v + place.k_start * p.v_row + place.head * p.v_head;

    uint32_t q[D / 16][4];
    place.queries<D>(p, q);
    Softmax<D> softmax;
    softmax.clear();
    for (int i = from + warp; i < end; i += kDecodeAttendWarps) {
        const int first = (list ? list[i] : i) * kBlock, upto = place.position - first;
        load_tile<D>(keys, k, p.k_row, first, place.position + 1, lane, 32);
        copy_commit();
        load_tile<D>(values, v, p.v_row, first, place.position + 1, lane, 32);
        copy_commit();
        copy_wait<1>();
        sync_warp();
        float scores[8][4];
        score_tile<T, D>(scores, q, keys);
#pragma unroll
        for (int n = 0; n < 8; ++n)
            for (int c = 0; c < 4; ++c)
                scores[n][c] = n * 8 + lane % 4 * 2 + c % 2 <= upto ? scores[n][c] * (p.scale * kLog2e)
                                                                    : -infinity();
        copy_wait<0>();
        sync_warp();
        uint32_t weights[4][4];
        softmax.template take<T>(weights, scores);
        weigh_tile<T, D>(softmax.out, weights, values);
        sync_warp();
    }
    softmax.finish();

    // The other warps leave their rows in their tiles, thread by thread; the first joins them.
    auto* left = (float*)((uint16_t*)shared + warp * 2 * kBlock * D);
    if (warp > 0) {
#pragma unroll
        for (int n = 0; n < D / 8; ++n)
            for (int c = 0; c < 4; ++c) left[(n * 4 + c) * 32 + lane] = softmax.out[n][c];
        for (int half = 0; half < 2; ++half) {
            left[(D / 2 + half) * 32 + lane] = softmax.max[half];
            left[(D / 2 + 2 + half) * 32 + lane] = softmax.sum[half];
        }
    }
    sync_block();
    const int64_t part = place.pair * p.splits + block_x();
    if (warp == 0) {
        for (int w = 1; w < kDecodeAttendWarps; ++w) {
            const auto* other = (float*)((uint16_t*)shared + w * 2 * kBlock * D);
            float mine_fade[2], other_fade[2];
            for (int half = 0; half < 2; ++half) {
                const float other_max = other[(D / 2 + half) * 32 + lane];
                const float top = fmaxf(softmax.max[half], other_max);
                const float base = top == -infinity() ? 0.0f : top;
                mine_fade[half] = exp_2(softmax.max[half] - base);
                other_fade[half] = exp_2(other_max - base);
                softmax.sum[half] = softmax.sum[half] * mine_fade[half] +
                                    other[(D / 2 + 2 + half) * 32 + lane] * other_fade[half];
                softmax.max[half] = top;
            }
#pragma unroll
            for (int n = 0; n < D / 8; ++n)
                for (int c = 0; c < 4; ++c)
                    softmax.out[n][c] = softmax.out[n][c] * mine_fade[c / 2] +
                                        other[(n * 4 + c) * 32 + lane] * other_fade[c / 2];
        }
        for (int half = 0; half < 2; ++half) {
            const int row = lane / 4 + half * 8;
            if (row >= place.group) continue;
            const float sum = softmax.sum[half], rest = sum == 0.0f ? 0.0f : 1.0f / sum;
            if (lane % 4 == 0)
                p.part_lses[part * 16 + row] =
                    sum == 0.0f ? -infinity() : softmax.max[half] + log_2(sum);
            float* out = p.part_outs + (part * 16 + row) * D;
#pragma unroll
            for (int n = 0; n < D / 8; ++n)
                for (int i = 0; i < 2; ++i)
                    out[n * 8 + lane % 4 * 2 + i] = softmax.out[n][half * 2 + i] * rest;
        }
    }
    int* counter = p.counters + (int64_t)p.tokens * p.kv_heads + place.pair;
    if (!comes_last(counter, p.splits, word)) return;

    auto* shares = (float*)shared;  // [splits, 16]; comes_last has let all tiles go
    const int64_t parts = place.pair * p.splits;
    if (thread() < place.group) {
        const int row = thread();
        float top = -infinity(), sum = 0.0f;
        for (int s = 0; s < p.splits; ++s) {
            const float lse = load_fresh(p.part_lses + (parts + s) * 16 + row);
            top = lse > top || !is_number(lse) ? lse : top;
        }
        for (int s = 0; s < p.splits; ++s)
            sum += exp_2(load_fresh(p.part_lses + (parts + s) * 16 + row) - top);
        for (int s = 0; s < p.splits; ++s)
            shares[s * 16 + row] = exp_2(load_fresh(p.part_lses + (parts + s) * 16 + row) - top) / sum;
        const float lse = (top + log_2(sum)) * kLn2;
        if (!(lse > -infinity() && lse < infinity())) report(p, kNotANumber);
        if (p.lse) p.lse[place.token * p.heads + place.head * place.group + row] = lse;
    }
    sync_block();
    for (int i = thread(); i < place.group * D / 2; i += kDecodeAttendWarps * 32) {
        const int row = i / (D / 2), d = i % (D / 2) * 2;
        float low = 0.0f, high = 0.0f;
        for (int s = 0; s < p.splits; ++s) {
            const float* from_part = p.part_outs + ((parts + s) * 16 + row) * D + d;
            low += shares[s * 16 + row] * load_fresh(from_part);
            high += shares[s * 16 + row] * load_fresh(from_part + 1);
        }
        auto* out = (uint16_t*)p.out + (place.token * p.heads + place.head * place.group + row) * D;
        *(uint32_t*)(out + d) = pack<T>(low, high);
    }
}
