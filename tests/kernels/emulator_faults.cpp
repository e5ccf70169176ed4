// Kernels with the faults that the emulator should show, each run by its name.
#include <cstdio>
#include <string>

#include "device.cuh"

struct Args {
    float* out;
    const float* in;
};

void sound(Args args) {
    ULTRA_SHARED(shared);
    auto* tile = (float*)shared;
    copy_async(tile + thread() * 4, args.in + thread() * 4, true);
    copy_commit();
    copy_wait<0>();
    sync_block();
    const int other = 63 - thread();
    args.out[thread()] = tile[other * 4] + shuffle_xor((float)thread(), 1);
}

void no_wait(Args args) {
    ULTRA_SHARED(shared);
    auto* tile = (float*)shared;
    copy_async(tile + thread() * 4, args.in + thread() * 4, true);
    copy_commit();
    args.out[thread()] = tile[thread() * 4];
}

void no_barrier(Args args) {
    ULTRA_SHARED(shared);
    auto* tile = (float*)shared;
    tile[thread()] = (float)thread();
    args.out[thread()] = tile[63 - thread()];
}

void apart(Args args) {
    args.out[thread()] = thread() % 2 ? (float)warp_ballot(true) : shuffle_xor(1.0f, 1);
}

void left_alone(Args args) {
    if (thread() != 5) sync_block();
    args.out[thread()] = 1.0f;
}

void crooked(Args args) {
    ULTRA_SHARED(shared);
    copy_async(shared + 8, args.in, true);
}

void beyond(Args args) {
    ULTRA_SHARED(shared);
    args.out[thread()] = ((float*)shared)[256 + thread()];
}

// A product of four warps: 64 rows of ones over 16 of 64 columns, each of which holds its number in
// all rows. Without faults every row is 16 times the number of the column.
template <bool SHOWN, bool WAITED, int SWIZZLE, int LEADER>
void product(Args args) {
    ULTRA_SHARED(shared);
    auto* tile = (uint16_t*)shared;
    for (int i = thread(); i < 64 * 8; i += 128) {
        const int row = i / 8, chunk = i % 8;
        copy_async(tile + row * 64 + (chunk ^ (row & 7)) * 8, (const uint16_t*)args.in + i * 8, true);
    }
    copy_commit();
    copy_wait<0>();
    if (SHOWN) show_copies();
    sync_block();
    const uint32_t one = pack<Half>(1.0f, 1.0f), left[4] = {one, one, one, one};
    float sums[8][4] = {};
    const bool more = LEADER && thread() < 32;
    const uint64_t right = (uint64_t)shared_address(tile) >> 4 | 64ull << 32 | (uint64_t)SWIZZLE << 62;
    products_begin();
    Half::product<false>(sums, left, right, more);
    const float early = sums[0][0];
    products_end(sums);
    if (thread() < 32)
        for (int i = 0; i < 2; ++i) args.out[thread() * 2 + i] = WAITED ? sums[thread() / 4][i] : early;
}

int main(int, char** argv) {
    alignas(16) float in[2048], out[64] = {};
    for (int i = 0; i < 2048; ++i) in[i] = (float)i;
    const std::string name = argv[1];
    auto* kernel = name == "sound"        ? sound
                   : name == "no_wait"    ? no_wait
                   : name == "no_barrier" ? no_barrier
                   : name == "apart"      ? apart
                   : name == "left_alone" ? left_alone
                   : name == "crooked"    ? crooked
                   : name == "product"    ? product<true, true, 1, 0>
                   : name == "not_shown"  ? product<false, true, 1, 0>
                   : name == "early"      ? product<true, false, 1, 0>
                   : name == "unturned"   ? product<true, true, 0, 0>
                   : name == "at_odds"    ? product<true, true, 1, 1>
                                          : beyond;
    const bool four_warps = name == "product" || name == "not_shown" || name == "early" ||
                            name == "unturned" || name == "at_odds";
    if (four_warps)
        for (int i = 0; i < 4096; ++i) ((uint16_t*)in)[i] = Half::narrow((float)(i / 64));
    emulator::seed = std::stoull(argv[2]);
    launch(kernel, dim3(1), four_warps ? 128 : 64, four_warps ? 8192 : 1024, nullptr, Args{out, in});
    for (int i = 0; i < 64; ++i) std::printf("%g ", out[i]);
}
