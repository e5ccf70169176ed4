// What every kernel is told: raw pointers, strides in elements, sizes. Mirrored field by field by
// sparse_attention_library.py, which passes sizeof to be sure that both sides mean the same.
#pragma once
#include <cstdint>

enum Kind : int32_t { kHalf = 0, kBrain = 1 };

// Bits of *status. Kernels never trap: a graph may be replaying.
enum Status : int32_t { kNotANumber = 1, kCacheFull = 2 };

struct Problem {
    // One row a token. Sequence s has query rows [q_starts[s], q_starts[s + 1]), which stand at the
    // last positions of its k_lens[s] keys, in rows k_starts[s] + position of k and v.
    const void *q, *k, *v;
    void *fine, *coarse;  // means of 32 and 128 keys: rows k_starts[s] / 16 + j and / 64 + m
    int32_t* lists;       // [kv_heads, tokens, list_len]: blocks ascending, then -1
    void* out;            // [tokens, heads, size]
    float* lse;           // [tokens, heads], natural logarithm
    const int32_t* q_starts;
    const int64_t* k_starts;
    const int32_t* k_lens;
    const int32_t* decide_lens;  // which sequences are dense; may be k_lens
    // Appending: the new rows of keys and values, at q_starts; cosines and sines [position, size/2],
    // or null for no rotation. q_out null: queries are not rotated. cache_k null: nothing is kept,
    // the new keys are only compressed.
    const void *new_k, *new_v;
    void *cache_k, *cache_v, *q_out;
    const float *cosines, *sines;
    // Decoding: partial results of `splits` blocks of threads, and counters that start and end at 0
    float* part_sums;    // [tokens, kv_heads, splits, 16, 2]
    float* worths;       // [tokens, kv_heads, max_blocks]
    float* part_outs;    // [tokens, kv_heads, splits, 16, size]
    float* part_lses;    // [tokens, kv_heads, splits, 16]
    int32_t* counters;   // [2, tokens, kv_heads]
    int32_t* status;
    int64_t q_row, q_head, k_row, k_head, v_row, v_head, new_k_row, new_k_head, new_v_row, new_v_head;
    int32_t kind, size, heads, kv_heads, tokens, sequences, longest_q, max_blocks;
    int32_t capacity;  // keys that a sequence has room for; 0: as many as it has
    int32_t init_blocks, local_blocks, list_len, dense_len, exact_lse, splits;
    int32_t portable;  // 1: no instructions of one GPU alone, even on that one
    float scale;
};
