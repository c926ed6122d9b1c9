// AMX: the products of many rows in tiles, 16 x 16 sums of 64 columns an instruction; all else is AVX512-VNNI's.
//
// 16 lines of a block, of which one field is kept, are a tile of weights as they lie: a line is a tile's row, of 16
// outputs by 4 columns. A tile of activations is 16 records' codes. 32 rows are multiplied with two fields at a time:
// four tiles of sums, two of each operand. The fields are unpacked a few tiles ahead, beside the tiles' own work.
//
// The kernel of the system saves tiles for processes that have asked for them, which cpu.cpp does.
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

constexpr int64_t kTile = 16;  // rows of a tile, each of 64 bytes
constexpr int64_t kPanelRows = 2 * kTile;
// Fewer rows take less time than unpacking a block does.
constexpr int64_t kFewestRows = 9;
constexpr int64_t kLargeTaskBytes = 1 << 20;  // of records; L2 has 2 MB where there is AMX
constexpr int64_t kAhead = 2;                 // tiles of weights that are unpacked before they are multiplied
constexpr int64_t kRing = 4;

// Two fields of 16 lines.
struct alignas(64) Unpacked {
  uint8_t fields[2][kTile][kLineBytes];
};

// Tiles 0 to 3 are sums, 4 and 5 activations of `upper` and of `lower` rows, 6 and 7 weights.
struct alignas(64) Shapes {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {};

  Shapes(int64_t upper, int64_t lower) {
    const uint8_t a = static_cast<uint8_t>(upper), b = static_cast<uint8_t>(lower);
    const uint8_t all[] = {a, a, b, b, a, b, kTile, kTile};
    std::memcpy(rows, all, sizeof all);
  }
};

// Tiles read memory behind the compiler's back: GCC 12's intrinsics do not say that they do.
inline void written() { __asm__ volatile("" ::: "memory"); }

void configure(int64_t rows) {
  const int64_t upper = rows < kTile ? rows : kTile, lower = rows - upper;
  const Shapes shapes(upper, lower > 0 ? lower : kTile);
  written();
  __asm__ volatile("ldtilecfg %0" ::"m"(shapes));
}

// Fields f and f + 1 of 16 lines, or of fewer at the end: zeros follow those, which meet codes of zero.
inline void unpack(const uint8_t* at, int64_t lines, int f, Unpacked& to) {
  const __m512i three = _mm512_set1_epi8(3);
  const __m128i first = _mm_cvtsi32_si128(2 * f), second = _mm_cvtsi32_si128(2 * f + 2);
  for (int64_t i = 0; i < kTile; ++i) {
    const __m512i w = i < lines ? _mm512_loadu_si512(at + i * kLineBytes) : _mm512_setzero_si512();
    _mm512_store_si512(to.fields[0][i], _mm512_and_si512(_mm512_srl_epi16(w, first), three));
    _mm512_store_si512(to.fields[1][i], _mm512_and_si512(_mm512_srl_epi16(w, second), three));
  }
}

// Sums of up to 16 rows, or with kBoth of up to 32, with fields f and f + 1 of a block.
template <bool kBoth>
void panel(const Product& p, const uint8_t* block, const uint8_t* codes, int f, int32_t* sums) {
  constexpr int64_t kStride = kBlockRows * sizeof(int32_t);
  const uint8_t* const lower = codes + kTile * p.record_bytes;
  Unpacked ring[kRing];
  const int64_t tiles = (p.lines + kTile - 1) / kTile;
  const auto unpack_tile = [&](int64_t t) {
    if (t < tiles) unpack(block + t * kTile * kLineBytes, p.lines - t * kTile, f, ring[t % kRing]);
  };
  for (int64_t t = 0; t < kAhead; ++t) unpack_tile(t);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t t = 0; t < tiles; ++t) {
    unpack_tile(t + kAhead);
    written();
    const Unpacked& weights = ring[t % kRing];
    _tile_loadd(4, codes + t * kLineBytes, p.record_bytes);
    _tile_loadd(6, weights.fields[0], kLineBytes);
    _tile_loadd(7, weights.fields[1], kLineBytes);
    _tile_dpbsud(0, 4, 6);
    _tile_dpbsud(1, 4, 7);
    if constexpr (kBoth) {
      _tile_loadd(5, lower + t * kLineBytes, p.record_bytes);
      _tile_dpbsud(2, 5, 6);
      _tile_dpbsud(3, 5, 7);
    }
  }
  _tile_stored(0, sums, kStride);
  _tile_stored(1, sums + kTile, kStride);
  if constexpr (kBoth) {
    _tile_stored(2, sums + kTile * kBlockRows, kStride);
    _tile_stored(3, sums + kTile * kBlockRows + kTile, kStride);
  }
}

void multiply_tiles(const Product& p, int64_t nb, int64_t begin, int64_t end) {
  if (end - begin < kFewestRows) return multiply(p, nb, begin, end);
  const uint8_t* const block = p.weights + nb * p.lines * kLineBytes;
  alignas(64) int32_t sums[kPanelRows][kBlockRows];
  int64_t shaped = 0;
  for (; begin < end; begin += kPanelRows) {
    const int64_t rows = end - begin < kPanelRows ? end - begin : kPanelRows;
    if (rows != shaped) configure(shaped = rows);
    const auto multiply_panel = rows > kTile ? panel<true> : panel<false>;
    for (int f = 0; f < 4; f += 2)
      multiply_panel(p, block, p.records + begin * p.record_bytes + kRecordHeader, f, sums[0] + f * kTile);
    for (int64_t r = 0; r < rows; ++r) store(p, begin + r, nb, sums[r]);
  }
  _tile_release();  // XLA's own products find the tiles as they were: unused
}

}  // namespace

const Kernel kAmxInt8 = {"amx-int8", kPanelRows,     kLargeTaskBytes, quantize,      copy,
                         multiply_tiles, attend, merge, attend_tile, multiply_table};

}  // namespace bitnet
