// Trits as a file stores them into the layout of layout.h, once, when a model is loaded.
//
// 64 rows at a time: each is decoded to a code a byte (trit + 1), four rows are merged to a byte, and the merged bytes
// are laid in lines. A matrix so passes through the cache once, and nothing of its unpacked size is ever in memory.
// Layouts of files: docs/formats.md §1.1 (HF), §2.4-2.5 (TQ1_0, TQ2_0) and §2.7 (I2_S).
#include <cstdint>
#include <cstring>
#include <vector>

#include "export.h"
#include "layout.h"

namespace bitnet {
namespace {

// What is stored, row after row; a matrix of HF's is addressed as a whole.
struct Stored {
  const uint8_t* bytes;
  int64_t rows, columns;
};

void from_trits(const Stored& stored, int64_t row, uint8_t* codes) {
  const uint8_t* trits = stored.bytes + row * stored.columns;
  for (int64_t k = 0; k < stored.columns; ++k) codes[k] = static_cast<uint8_t>(trits[k] + 1);
}

// HF's byte (r, c) holds rows r, R + r, 2R + r and 3R + r of column c, the first in its lowest bits.
void from_hf(const Stored& stored, int64_t row, uint8_t* codes) {
  const int64_t quarter = stored.rows / 4, shift = 2 * (row / quarter);
  const uint8_t* bytes = stored.bytes + row % quarter * stored.columns;
  for (int64_t k = 0; k < stored.columns; ++k) codes[k] = bytes[k] >> shift & 3;
}

// kBytes bytes hold four runs of as many columns; run f is in the bits 2f, or from the highest down.
template <int kBytes, bool kHighFirst>
void run_of_bytes(const uint8_t* bytes, uint8_t* codes) {
  for (int f = 0; f < 4; ++f) {
    const int shift = 2 * (kHighFirst ? 3 - f : f);
    for (int i = 0; i < kBytes; ++i) codes[f * kBytes + i] = bytes[i] >> shift & 3;
  }
}

// I2_S in its layouts A (32 bytes) and B (16).
template <int kBytes>
void from_i2_s(const Stored& stored, int64_t row, uint8_t* codes) {
  const uint8_t* bytes = stored.bytes + row * stored.columns / 4;
  for (int64_t k = 0; k < stored.columns; k += 4 * kBytes) run_of_bytes<kBytes, true>(bytes + k / 4, codes + k);
}

constexpr int64_t kTqColumns = 256, kTq2Bytes = 66, kTq1Bytes = 54;

void from_tq2_0(const Stored& stored, int64_t row, uint8_t* codes) {
  const uint8_t* block = stored.bytes + row * (stored.columns / kTqColumns) * kTq2Bytes;
  for (int64_t k = 0; k < stored.columns; k += kTqColumns, block += kTq2Bytes) {
    run_of_bytes<32, false>(block, codes + k);
    run_of_bytes<32, false>(block + 32, codes + k + 128);
  }
}

// A byte is ceil(256 · v / 243), v of five digits in base 3: times 3^n the digits before n fall off its top, and the
// next one is what times 3 carries out of eight bits.
template <int kBytes, int kDigits>
void digits(const uint8_t* bytes, uint8_t* codes) {
  uint8_t power = 1;
  for (int n = 0; n < kDigits; ++n, power *= 3)
    for (int i = 0; i < kBytes; ++i) {
      const uint8_t rest = static_cast<uint8_t>(bytes[i] * power);
      codes[n * kBytes + i] = static_cast<uint8_t>(static_cast<uint16_t>(rest) * 3 >> 8);
    }
}

void from_tq1_0(const Stored& stored, int64_t row, uint8_t* codes) {
  const uint8_t* block = stored.bytes + row * (stored.columns / kTqColumns) * kTq1Bytes;
  for (int64_t k = 0; k < stored.columns; k += kTqColumns, block += kTq1Bytes) {
    digits<32, 5>(block, codes + k);
    digits<16, 5>(block + 32, codes + k + 160);
    digits<4, 4>(block + 48, codes + k + 240);
  }
}

using Decode = void (*)(const Stored&, int64_t row, uint8_t* codes);
// In the order of STORED in kernels.py.
constexpr Decode kDecoders[] = {from_trits, from_hf, from_i2_s<32>, from_i2_s<16>, from_tq2_0, from_tq1_0};

// Lays merged bytes [16][width] in lines.
void lay(const uint8_t* merged, int64_t width, uint8_t* lines) {
  for (int64_t k = 0; k < width; k += kLineColumns, lines += kLineBytes)
    for (int64_t lane = 0; lane < 16; ++lane)
      std::memcpy(lines + lane * kLineColumns, merged + lane * width + k, kLineColumns);
}

// Merges rows 16f + i of codes [64][width] into row i; returns whether a code was 3.
bool merge(uint8_t* codes, int64_t width) {
  uint8_t wrong = 0;
  for (int64_t lane = 0; lane < 16; ++lane) {
    uint8_t* a = codes + lane * width;
    const uint8_t *b = a + 16 * width, *c = b + 16 * width, *d = c + 16 * width;
    for (int64_t k = 0; k < width; ++k) {
      const uint8_t byte = static_cast<uint8_t>(a[k] | b[k] << 2 | c[k] << 4 | d[k] << 6);
      wrong |= byte & byte >> 1 & 0x55;
      a[k] = byte;
    }
  }
  return wrong != 0;
}

}  // namespace
}  // namespace bitnet

// Row n of what is packed is stored row order[n], or n where `order` is null. Returns 0, or 1 where a code is 3, which
// no trit has: what is packed is then worth nothing.
extern "C" BITNET_EXPORT int bitnet_pack(int kind, const uint8_t* bytes, int64_t out, int64_t features,
                                         const int64_t* order, uint8_t* packed) {
  using namespace bitnet;
  const Stored stored{bytes, out, features};
  const int64_t width = (features + kColumnStep - 1) / kColumnStep * kColumnStep;
  std::vector<uint8_t> codes(kBlockRows * width);
  bool wrong = false;
  for (int64_t first = 0; first < out; first += kBlockRows) {
    // Every code is 1, a trit of zero, until a row says otherwise: so padding adds nothing.
    std::memset(codes.data(), 1, codes.size());
    for (int64_t n = first; n < out && n < first + kBlockRows; ++n)
      kDecoders[kind](stored, order == nullptr ? n : order[n], codes.data() + (n - first) * width);
    wrong |= merge(codes.data(), width);
    lay(codes.data(), width, packed + first / kBlockRows * (width / kLineColumns) * kLineBytes);
  }
  return wrong;
}
