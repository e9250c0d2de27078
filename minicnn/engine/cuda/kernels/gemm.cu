// Matrix products (GEMM) for convolutions and dense layers:
//
//     out (M, N) = Σ_k a(m, k) · b(k, n)
//
// Each block of threads computes a tile of TILE_M × TILE_N numbers. a and b are functions, so that a pixel of a
// window or a gradient before a pool is computed when it is loaded. TILE_K columns of a and rows of b are loaded
// into shared memory while the previous ones are multiplied.
//
// PRECISION: FP32 uses the ordinary units, TF32 and BF16 the tensor cores, which round both factors to 10 or 7
// bits of mantissa and accumulate in float32.
//
// Compile-time constants: THREADS = 128, TILE_M = 64, TILE_N = 32 or 64, TILE_K = 16.
//
// Cost: M·N·K multiply-adds; M·K·⌈N / TILE_N⌉ + K·N·⌈M / TILE_M⌉ numbers read, most of them from L2.

#define FP32 0
#define TF32 1
#define BF16 2

// The warps of a block divide its tile: ACROSS of them side by side, each 32 columns wide.
const int WARPS = THREADS / 32, ACROSS = TILE_N / 32, WARP_M = TILE_M / (WARPS / ACROSS), WARP_N = 32;
// A warp's part in tiles of 16 × 8, the tensor cores' result.
const int ROWS = WARP_M / 16, COLUMNS = WARP_N / 8;
// Line lengths in shared memory for which a warp's 32 threads read from 32 banks (16 with BF16).
const int A_LINE = TILE_K + 4, B_LINE = TILE_N + 8;

// The sums of a thread: four of each 16 × 8 tile, see row_of and column_of.
struct Sums {
    float at[ROWS][COLUMNS][4] = {};
};

__device__ int lane() { return threadIdx.x % 32; }

// Row and column, in the block's tile, of a thread's sum [i][j][e], as the tensor cores distribute them.
__device__ int row_of(int i, int e) {
    return threadIdx.x / 32 / ACROSS * WARP_M + i * 16 + lane() / 4 + (e >= 2 ? 8 : 0);
}
__device__ int column_of(int j, int e) {
    return threadIdx.x / 32 % ACROSS * WARP_N + j * 8 + lane() % 4 * 2 + e % 2;
}

// Round a factor to PRECISION. On the host, in tests, all of the rounding happens here.
__device__ float rounded(float x) {
#if PRECISION == FP32
    return x;
#elif defined(ON_HOST)
    return PRECISION == TF32 ? host_tf32(x) : host_bf16(x);
#elif PRECISION == TF32
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return __uint_as_float(bits);
#else
    return x;  // ``pair`` rounds
#endif
}

#if PRECISION == FP32 || defined(ON_HOST)

// sums += a (TILE_M, TILE_K) · b (TILE_K, TILE_N).
__device__ void multiply(Sums& sums, const float* a, const float* b) {
#pragma unroll 4
    for (int k = 0; k < TILE_K; k++) {
        float column[ROWS][2], row[COLUMNS][2];
#pragma unroll
        for (int i = 0; i < ROWS; i++)
#pragma unroll
            for (int h = 0; h < 2; h++) column[i][h] = a[row_of(i, 2 * h) * A_LINE + k];
#pragma unroll
        for (int j = 0; j < COLUMNS; j++)
#pragma unroll
            for (int h = 0; h < 2; h++) row[j][h] = b[k * B_LINE + column_of(j, h)];
#pragma unroll
        for (int i = 0; i < ROWS; i++)
#pragma unroll
            for (int j = 0; j < COLUMNS; j++)
#pragma unroll
                for (int e = 0; e < 4; e++) sums.at[i][j][e] += column[i][e / 2] * row[j][e % 2];
    }
}

#else

#if PRECISION == TF32
// One instruction multiplies a (16, 8) and b (8, 8). Thread 4g + t of a warp holds a[g, g + 8][t, t + 4] and
// b[t, t + 4][g]. Source: PTX ISA, "Matrix Fragments for mma.m16n8k8".
#define MMA "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32"
const int MMA_K = 8;
__device__ void load_a(unsigned* held, const float* a) {
    a += lane() / 4 * A_LINE + lane() % 4;
    held[0] = __float_as_uint(a[0]), held[1] = __float_as_uint(a[8 * A_LINE]);
    held[2] = __float_as_uint(a[4]), held[3] = __float_as_uint(a[8 * A_LINE + 4]);
}
__device__ void load_b(unsigned* held, const float* b) {
    b += lane() % 4 * B_LINE + lane() / 4;
    held[0] = __float_as_uint(b[0]), held[1] = __float_as_uint(b[4 * B_LINE]);
}
#else
// a (16, 16) and b (16, 8). Thread 4g + t holds pairs along k that begin at a[g, g + 8][2t, 2t + 8] and
// b[2t, 2t + 8][g]. Source: PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type".
#define MMA "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"
const int MMA_K = 16;
__device__ unsigned pair(float first, float second) {  // the first in the lower half of the register
    unsigned both;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(second), "f"(first));
    return both;
}
__device__ void load_a(unsigned* held, const float* a) {
    a += lane() / 4 * A_LINE + lane() % 4 * 2;
    held[0] = pair(a[0], a[1]), held[1] = pair(a[8 * A_LINE], a[8 * A_LINE + 1]);
    held[2] = pair(a[8], a[9]), held[3] = pair(a[8 * A_LINE + 8], a[8 * A_LINE + 9]);
}
__device__ void load_b(unsigned* held, const float* b) {
    b += lane() % 4 * 2 * B_LINE + lane() / 4;
    held[0] = pair(b[0], b[B_LINE]), held[1] = pair(b[8 * B_LINE], b[9 * B_LINE]);
}
#endif

// sums += a (TILE_M, TILE_K) · b (TILE_K, TILE_N), on the tensor cores.
__device__ void multiply(Sums& sums, const float* a, const float* b) {
    int first_row = row_of(0, 0) - lane() / 4, first_column = column_of(0, 0) - lane() % 4 * 2;
#pragma unroll
    for (int k = 0; k < TILE_K; k += MMA_K) {
        unsigned held_a[4], held_b[COLUMNS][2];
#pragma unroll
        for (int j = 0; j < COLUMNS; j++) load_b(held_b[j], b + k * B_LINE + first_column + j * 8);
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            load_a(held_a, a + (first_row + i * 16) * A_LINE + k);
#pragma unroll
            for (int j = 0; j < COLUMNS; j++) {
                float* c = sums.at[i][j];
                asm(MMA " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                    : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                    : "r"(held_a[0]), "r"(held_a[1]), "r"(held_a[2]), "r"(held_a[3]), "r"(held_b[j][0]),
                      "r"(held_b[j][1]));
            }
        }
    }
}

#endif

// The COUNT numbers of a (SIZE = TILE_M) or b (SIZE = TILE_N) that a thread loads for the next step. Neighboring
// threads load neighbors in memory: along k if K_FIRST, else along m or n.
template <int SIZE, bool K_FIRST>
struct Loaded {
    static constexpr int COUNT = SIZE * TILE_K / THREADS;
    float at[COUNT];

    __device__ static int k(int e) {
        int i = e * THREADS + threadIdx.x;
        return K_FIRST ? i % TILE_K : i / SIZE;
    }
    __device__ static int other(int e) {  // m or n
        int i = e * THREADS + threadIdx.x;
        return K_FIRST ? i / TILE_K : i % SIZE;
    }
};

// Shared memory for two tiles of a and of b: the current and the next.
struct Tiles {
    float a[2][TILE_M * A_LINE], b[2][TILE_K * B_LINE];
};

// The first row and column of a block's tile.
struct Tile {
    int m, n;
};

// The tile of block blockIdx.x in a result of ``columns`` columns; tiles are in row-major order.
__device__ Tile tile_of(int columns) {
    int across = (columns + TILE_N - 1) / TILE_N, i = blockIdx.x;
    return {i / across * TILE_M, i % across * TILE_N};
}

// sums += a · b for one tile, over k from ``first`` to ``end``. On return, no thread uses ``tiles`` any more.
template <class A, class B>
__device__ void gemm(Sums& sums, Tiles& tiles, const A& a, const B& b, Tile tile, int first, int end) {
    Loaded<TILE_M, A::K_FIRST> next_a;
    Loaded<TILE_N, B::K_FIRST> next_b;
    int current = 1;
    for (int k = first - TILE_K; k < end; k += TILE_K) {
        int ahead = k + TILE_K;
        if (ahead < end) {
#pragma unroll
            for (int e = 0; e < next_a.COUNT; e++) {
                int at = ahead + next_a.k(e);
                next_a.at[e] = at < end ? rounded(a(tile.m + next_a.other(e), at)) : 0;
            }
#pragma unroll
            for (int e = 0; e < next_b.COUNT; e++) {
                int at = ahead + next_b.k(e);
                next_b.at[e] = at < end ? rounded(b(at, tile.n + next_b.other(e))) : 0;
            }
        }
        if (k >= first) multiply(sums, tiles.a[current], tiles.b[current]);
        current ^= 1;
        if (ahead < end) {
#pragma unroll
            for (int e = 0; e < next_a.COUNT; e++)
                tiles.a[current][next_a.other(e) * A_LINE + next_a.k(e)] = next_a.at[e];
#pragma unroll
            for (int e = 0; e < next_b.COUNT; e++)
                tiles.b[current][next_b.k(e) * B_LINE + next_b.other(e)] = next_b.at[e];
        }
        __syncthreads();
    }
}

// Write the sums inside M × N to out, whose rows are ``line`` numbers long.
__device__ void store(const Sums& sums, float* out, int line, Tile tile, int M, int N) {
#pragma unroll
    for (int i = 0; i < ROWS; i++)
#pragma unroll
        for (int j = 0; j < COLUMNS; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                int row = tile.m + row_of(i, e), column = tile.n + column_of(j, e);
                if (row < M && column < N) out[row * line + column] = sums.at[i][j][e];
            }
}
