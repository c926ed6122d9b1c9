// AVX-512 VNNI: a line is one register; 6 rows · 4 fields are 24 of the 32 registers.
#include <immintrin.h>

#include <cstring>
#include <utility>

#include "layout.h"

namespace bitnet {
namespace {

struct Vector {
#include "avx512_vector.h"
};

constexpr int kTileRows = 6;
constexpr int kGemvVectors = 1;
constexpr int kMixVectors = 4;
constexpr int kScoreKeys = 4;
#include "tile.h"
#include "floats.h"
#include "prompt.h"

}  // namespace

const Kernel kAvx512Vnni = {"avx512-vnni", kTileRows, kTaskBytes, quantize, copy, multiply,
                            attend, merge, attend_tile, multiply_table};

}  // namespace bitnet
