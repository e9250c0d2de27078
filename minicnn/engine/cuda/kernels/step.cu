// Data exchanged with the host, random numbers, and sums over a block's threads.

// From the host, before each step.
struct Step {
    float learning_rate, correction_1, correction_2;  // Adam: 1 − β₁ᵗ and 1 − β₂ᵗ
    unsigned draw;                 // a random number
};

// To the host: totals since its last read.
struct Totals {
    double loss;        // summed over images
    long long correct;  // images whose label is the first largest logit
    long long broken;   // 1 once a step's loss was NaN or infinite: nothing is updated from then on
};

// A random 32-bit number for each pair (seed, i). Source: O'Neill 2014, "PCG: A Family of Simple Fast
// Space-Efficient Statistically Good Algorithms for Random Number Generation": the permutation RXS-M-XS.
__device__ unsigned random_bits(unsigned seed, unsigned i) {
    unsigned state = (seed ^ (i * 2654435769u)) * 747796405u + 2891336453u;
    unsigned word = ((state >> ((state >> 28) + 4)) ^ state) * 277803737u;
    return (word >> 22) ^ word;
}

// Add up one number per thread, in a fixed order; thread 0 gets the sum. At most once per kernel and type.
template <class T>
__device__ T block_sum(T mine) {
    __shared__ T sums[THREADS];
    sums[threadIdx.x] = mine;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    return sums[0];
}
