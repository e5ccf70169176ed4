// Emulated attention (by wgmma, or "portable") against loops in double: prints the largest error over
// some orders of threads, NaN if there is one. test_sparse_mutants.py breaks the kernel that it runs.
#include <cstdio>
#include <iterator>
#include <string>

#include "attend.cuh"

constexpr int kLength = 300, kQueries = 20, kGroup = 16, kSize = 128;

int main(int, char** argv) {
    const bool portable = std::string(argv[1]) == "portable";
    static uint16_t q[kQueries * kGroup * kSize], k[kLength * kSize], v[kLength * kSize];
    static uint16_t out[kQueries * kGroup * kSize];
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    const auto fill = [&](uint16_t* x, size_t n) {
        for (size_t i = 0; i < n; ++i) x[i] = Brain::narrow(normal(random));
    };
    fill(q, std::size(q)), fill(k, std::size(k)), fill(v, std::size(v));
    const int32_t q_starts[] = {0, kQueries}, lengths[] = {kLength};
    const int64_t k_starts[] = {0};

    Problem p = {};
    p.q = q, p.k = k, p.v = v, p.out = out;
    p.q_starts = q_starts, p.k_starts = k_starts, p.k_lens = p.decide_lens = lengths;
    p.q_row = kGroup * kSize, p.q_head = kSize, p.k_row = p.v_row = kSize;
    p.heads = kGroup, p.kv_heads = 1, p.size = kSize, p.list_len = 1;
    p.tokens = kQueries, p.sequences = 1, p.longest_q = kQueries, p.dense_len = kLength + 1;
    p.scale = 1.0f / std::sqrt((float)kSize);

    double worst = 0.0;
    for (emulator::seed = 0; emulator::seed < 4; ++emulator::seed) {
        std::memset(out, 0xff, sizeof(out));
        const dim3 grid((kQueries + 3) / 4, 1, 1);
        const auto kernel = portable ? attend_kernel<Brain, kSize, 4, WarpProducts>
                                     : attend_kernel<Brain, kSize, 4, WarpgroupProducts>;
        if (launch(kernel, grid, 128, attend_shared(p), nullptr, p)) return 1;
        for (int row = 0; row < kQueries * kGroup; ++row) {
            const int upto = kLength - kQueries + row / kGroup;
            double weights[kLength], sum = 0.0;
            for (int key = 0; key <= upto; ++key) {
                double score = 0.0;
                for (int i = 0; i < kSize; ++i)
                    score += (double)Brain::wide(q[row * kSize + i]) * Brain::wide(k[key * kSize + i]);
                sum += weights[key] = std::exp(score * p.scale);
            }
            for (int i = 0; i < kSize; ++i) {
                double right = 0.0;
                for (int key = 0; key <= upto; ++key)
                    right += weights[key] / sum * Brain::wide(v[key * kSize + i]);
                const double error = std::fabs(right - Brain::wide(out[row * kSize + i]));
                if (!(error <= worst)) worst = error;
                if (worst != worst) return std::puts("nan"), 0;
            }
        }
    }
    std::printf("%g\n", worst);
}
