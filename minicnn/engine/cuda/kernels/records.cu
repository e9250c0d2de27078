// What the host and the captured steps tell each other.

// To each step.
struct Step {
    float rate, scale_1, scale_2;  // the learning rate; Adam: 1 − β₁ᵗ and 1 − β₂ᵗ
    unsigned draw;                 // a random number
};

// From the steps, whenever the host looks: what has happened since it last did.
struct Totals {
    double loss;        // summed over images
    long long correct;  // images whose largest logit, the first of several, is that of their label
    long long broken;   // whether a step's loss was NaN or infinite: nothing is updated from then on
};

// A random number of 32 bits for each pair (seed, i). Source: O'Neill 2014, "PCG: A Family of Simple Fast
// Space-Efficient Statistically Good Algorithms for Random Number Generation": the permutation RXS-M-XS.
__device__ unsigned random_bits(unsigned seed, unsigned i) {
    unsigned state = (seed ^ (i * 2654435769u)) * 747796405u + 2891336453u;
    unsigned word = ((state >> ((state >> 28) + 4)) ^ state) * 277803737u;
    return (word >> 22) ^ word;
}
