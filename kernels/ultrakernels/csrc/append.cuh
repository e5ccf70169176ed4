// New keys and values go into the cache, rotated by their positions; windows that they complete are
// averaged; and queries are rotated: one launch. A block of threads has 64 positions of one head,
// thread d of it dimension d.
//
// Keys of before are read from the cache, new ones from where they come from, so no block of
// threads reads what another writes. Sums are of 16 keys, then of these: the bits of a mean do not
// depend on how many keys come at a time.
#pragma once
#include "tiles.cuh"

template <class T>
struct Arrival {
    const Problem& p;
    int head, before;
    int64_t q_start, k_start;

    ULTRA_DEVICE float rotated(const uint16_t* row, int position, int d) const {
        const float x = T::wide(row[d]);
        if (!p.cosines) return x;
        const int half = p.size / 2, i = d % half;
        const float cosine = p.cosines[(int64_t)position * half + i];
        const float sine = p.sines[(int64_t)position * half + i];
        const float other = T::wide(row[d < half ? d + half : d - half]);
        const float turned = mul(other, sine);
        return add(mul(x, cosine), d < half ? -turned : turned);
    }
    ULTRA_DEVICE uint16_t new_key(int position, int d) const {
        const auto* row = (const uint16_t*)p.new_k + (q_start + position - before) * p.new_k_row +
                          head * p.new_k_head;
        return T::narrow(rotated(row, position, d));
    }
    ULTRA_DEVICE uint16_t key(int position, int d) const {
        if (position >= before) return new_key(position, d);
        return ((const uint16_t*)p.cache_k)[(k_start + position) * p.k_row + head * p.k_head + d];
    }
};

template <class T>
ULTRA_KERNEL(128) append_kernel(Problem p) {
    const int sequence = block_z(), d = thread();
    const int64_t q_start = p.q_starts[sequence], k_start = p.k_starts[sequence];
    const int n_new = (int)(p.q_starts[sequence + 1] - q_start);
    const int length = p.k_lens[sequence], before = length - n_new;
    if (n_new == 0 || d >= p.size) return;
    if (!fits(p, n_new, length)) {
        if (d == 0) report(p, kCacheFull);
        return;
    }
    const int chunk = before / kBlock + block_x();
    const int start = highest(before, chunk * kBlock), end = lowest(length, (chunk + 1) * kBlock);
    if (start >= end) return;

    if (block_y() >= p.kv_heads) {
        const int head = block_y() - p.kv_heads;
        const Arrival<T> arrival{p, head, before, q_start, k_start};
        for (int position = start; position < end; ++position) {
            const int64_t token = q_start + position - before;
            const auto* row = (const uint16_t*)p.q + token * p.q_row + head * p.q_head;
            ((uint16_t*)p.q_out)[(token * p.heads + head) * p.size + d] =
                T::narrow(arrival.rotated(row, position, d));
        }
        return;
    }

    const int head = block_y();
    const Arrival<T> arrival{p, head, before, q_start, k_start};
    if (p.cache_k) {
        for (int position = start; position < end; ++position) {
            const int64_t row = k_start + position, token = q_start + position - before;
            ((uint16_t*)p.cache_k)[row * p.k_row + head * p.k_head + d] = arrival.new_key(position, d);
            ((uint16_t*)p.cache_v)[row * p.v_row + head * p.v_head + d] =
                ((const uint16_t*)p.new_v)[token * p.new_v_row + head * p.new_v_head + d];
        }
    }

    // Windows that end in [start, end): fine ones end at 16 j + 31, coarse ones at 64 m + 127.
    const int fine_first = windows(start, 2 * kFine, kFine), fine_end = windows(end, 2 * kFine, kFine);
    const int coarse_first = windows(start, 2 * kCoarse, kCoarse);
    const int coarse_end = windows(end, 2 * kCoarse, kCoarse);
    if (fine_first == fine_end) return;  // where a coarse window ends a fine one does
    const int first = coarse_first < coarse_end ? coarse_first * kRatio : fine_first;
    float segment = 0.0f, sum = 0.0f;
    for (int s = first; s <= fine_end; ++s) {
        const float last = segment;
        segment = T::wide(arrival.key(s * kFine, d));
        for (int i = 1; i < kFine; ++i) segment = add(segment, T::wide(arrival.key(s * kFine + i, d)));
        sum = s == first ? segment : add(sum, segment);
        const int j = s - 1;
        if (j >= fine_first && j >= first)
            ((uint16_t*)p.fine)[((k_start / kFine + j) * p.kv_heads + head) * p.size + d] =
                T::narrow(mul(add(last, segment), 1.0f / (2 * kFine)));
        if (coarse_first < coarse_end && s == first + 2 * kRatio - 1)
            ((uint16_t*)p.coarse)[((k_start / kCoarse + coarse_first) * p.kv_heads + head) * p.size + d] =
                T::narrow(mul(sum, 1.0f / (2 * kCoarse)));
    }
}
