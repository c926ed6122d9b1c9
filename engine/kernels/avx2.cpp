// AVX2: pairs of products are added in 16 bits, which saturates at 32767; the largest is 128·127·2 = 32512, the
// smallest 128·−128·2 = −32768, so it never does.
#include <immintrin.h>

#include <cstring>
#include <utility>

#include "layout.h"

namespace bitnet {
namespace {

struct Vector {
#include "avx2_vector.h"
  static Sums dot(Sums sums, Register w, Register x) {
    const __m256i pairs = _mm256_maddubs_epi16(w, x);
    return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};

constexpr int kTileRows = 2;
constexpr int kGemvVectors = 1;
constexpr int kMixVectors = 2;
constexpr int kScoreKeys = 2;
#include "tile.h"
#include "floats.h"
#include "prompt.h"

}  // namespace

const Kernel kAvx2 = {"avx2", kTileRows, kTaskBytes, quantize, copy, multiply,
                      attend, merge, attend_tile, multiply_table};

}  // namespace bitnet
