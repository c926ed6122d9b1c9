// AVX-VNNI, 256 bits: a line is two registers; 3 rows · 4 fields are 12 of the 16 registers.
#include <immintrin.h>

#include <cstring>
#include <utility>

#include "layout.h"

namespace bitnet {
namespace {

struct Vector {
#include "avx2_vector.h"
  static Sums dot(Sums sums, Register w, Register x) { return _mm256_dpbusd_avx_epi32(sums, w, x); }
};

constexpr int kTileRows = 3;
constexpr int kGemvVectors = 2;
constexpr int kMixVectors = 2;
constexpr int kScoreKeys = 2;
#include "tile.h"
#include "floats.h"
#include "prompt.h"

}  // namespace

const Kernel kAvxVnni = {"avx-vnni", kTileRows, kTaskBytes, quantize, copy, multiply,
                         attend, merge, attend_tile, multiply_table};

}  // namespace bitnet
