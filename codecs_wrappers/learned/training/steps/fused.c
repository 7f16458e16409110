/* Elementwise passes of training on a CPU, each over its arrays once. fused.py compiles this file and calls it.
   bf16 values lie in memory as uint16: the upper half of a float32. All arithmetic is float32, all rounding to nearest even. */
#include <math.h>
#include <stdint.h>

static inline float widened(uint16_t value) {
    union { uint32_t bits; float number; } both;
    both.bits = (uint32_t)value << 16;
    return both.number;
}

static inline uint16_t rounded(float value) {
    union { uint32_t bits; float number; } both;
    both.number = value;
    return (uint16_t)((both.bits + 0x7fff + ((both.bits >> 16) & 1)) >> 16);
}

/* squares = x^2 */
void square(const uint16_t *restrict x, uint16_t *restrict squares, int64_t count) {
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++) squares[i] = rounded(widened(x[i]) * widened(x[i]));
}

/* y = x / sqrt(norm), or of the inverse y = x sqrt(norm) */
void gdn(const uint16_t *restrict x, const uint16_t *restrict norm, uint16_t *restrict y, int64_t count, int inverse) {
    if (inverse) {
#pragma omp parallel for simd schedule(static)
        for (int64_t i = 0; i < count; i++) y[i] = rounded(widened(x[i]) * sqrtf(widened(norm[i])));
    } else {
#pragma omp parallel for simd schedule(static)
        for (int64_t i = 0; i < count; i++) y[i] = rounded(widened(x[i]) / sqrtf(widened(norm[i])));
    }
}

/* slope: the gradient of the norm but for its sign and a factor of 1/2: g x norm^-1.5, of the inverse g x norm^-0.5 */
void gdn_norm_gradient(const uint16_t *restrict g, const uint16_t *restrict x, const uint16_t *restrict norm,
                       uint16_t *restrict slope, int64_t count, int inverse) {
    if (inverse) {
#pragma omp parallel for simd schedule(static)
        for (int64_t i = 0; i < count; i++) slope[i] = rounded(widened(g[i]) * widened(x[i]) / sqrtf(widened(norm[i])));
    } else {
#pragma omp parallel for simd schedule(static)
        for (int64_t i = 0; i < count; i++) {
            float n = widened(norm[i]);
            slope[i] = rounded(widened(g[i]) * widened(x[i]) / (n * sqrtf(n)));
        }
    }
}

/* gradient of x, with weighted = slope times gamma: g / sqrt(norm) - x weighted, of the inverse g sqrt(norm) + x weighted */
void gdn_gradient(const uint16_t *restrict g, const uint16_t *restrict x, const uint16_t *restrict norm,
                  const uint16_t *restrict weighted, uint16_t *restrict gradient, int64_t count, int inverse) {
    if (inverse) {
#pragma omp parallel for simd schedule(static)
        for (int64_t i = 0; i < count; i++)
            gradient[i] = rounded(widened(g[i]) * sqrtf(widened(norm[i])) + widened(x[i]) * widened(weighted[i]));
    } else {
#pragma omp parallel for simd schedule(static)
        for (int64_t i = 0; i < count; i++)
            gradient[i] = rounded(widened(g[i]) / sqrtf(widened(norm[i])) - widened(x[i]) * widened(weighted[i]));
    }
}

/* Adam's moments moved by the gradient, and the change they ask for: first / (sqrt(second / correction) + epsilon) */
void moments(const float *restrict gradient, float *restrict first, float *restrict second, float *restrict change,
             int64_t count, float beta1, float beta2, float correction, float epsilon) {
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++) {
        float g = gradient[i];
        float f = first[i] + (1 - beta1) * (g - first[i]);
        float s = second[i] + (1 - beta2) * (g * g - second[i]);
        first[i] = f;
        second[i] = s;
        change[i] = f / (sqrtf(s / correction) + epsilon);
    }
}
