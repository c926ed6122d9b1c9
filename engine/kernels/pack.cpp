// int8 trits [N, K] into the layout of layout.h, once, when a model is loaded.
#include <cstdint>
#include <cstring>

#include "export.h"
#include "layout.h"

using namespace bitnet;

extern "C" BITNET_EXPORT void bitnet_pack(const int8_t* trits, int64_t out, int64_t features, uint8_t* packed) {
  const int64_t lines = (features + kColumnStep - 1) / kColumnStep * (kColumnStep / kLineColumns);
  const int64_t blocks = (out + kBlockRows - 1) / kBlockRows;
  // Every field is 1, a trit of zero, until a row says otherwise: so padding adds nothing.
  std::memset(packed, 0x55, blocks * lines * kLineBytes);
  for (int64_t n = 0; n < out; ++n) {
    const int64_t field = n % kBlockRows / 16, lane = n % 16;
    uint8_t* to = packed + n / kBlockRows * lines * kLineBytes + lane * kLineColumns;
    const int8_t* row = trits + n * features;
    for (int64_t k = 0; k < features; ++k)
      to[k / kLineColumns * kLineBytes + k % kLineColumns] += static_cast<uint8_t>(row[k] * (1 << 2 * field));
  }
}
