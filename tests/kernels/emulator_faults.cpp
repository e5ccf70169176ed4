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

int main(int, char** argv) {
    alignas(16) float in[256], out[64] = {};
    for (int i = 0; i < 256; ++i) in[i] = (float)i;
    const std::string name = argv[1];
    auto* kernel = name == "sound"        ? sound
                   : name == "no_wait"    ? no_wait
                   : name == "no_barrier" ? no_barrier
                   : name == "apart"      ? apart
                   : name == "left_alone" ? left_alone
                   : name == "crooked"    ? crooked
                                          : beyond;
    emulator::seed = std::stoull(argv[2]);
    launch(kernel, dim3(1), 64, 1024, nullptr, Args{out, in});
    for (int i = 0; i < 64; ++i) std::printf("%g ", out[i]);
}
