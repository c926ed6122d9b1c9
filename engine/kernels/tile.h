// The kernel itself, for any vector type: quantise a row, multiply a tile of rows with a block of 64 outputs.
//
// Each instruction set includes this file into an anonymous namespace of its own, after it has defined
//
//   struct Vector { Register, Sums, Floats, kLanes, load, field<f>, broadcast, zero, dot, add_into<f> }
//   kTileRows      rows of activations that share one pass over a block
//   kGemvVectors   vectors of a line taken together where there is one row only
//
// field<f> leaves the codes of field f in place, 4^f too large, or moves them down; add_into<f> undoes what it left.
//
// Arithmetic is exact: a field is masked without shifting, so the sums of field f are 4^f too large, and are shifted
// back once at the end. kChunkLines bounds them: 2·64 (code, field 3) · 128 · 4 · kChunkLines ≤ 2^30.

constexpr int64_t kChunkLines = 16384;
constexpr int64_t kPrefetchBytes = 8192;  // ahead of the line at hand, into L2
constexpr int64_t kTaskBytes = 1 << 18;   // of records, which stay in L2 while block after block is multiplied with them
constexpr int kVectors = 16 / Vector::kLanes;  // in a line
constexpr int kVectorBytes = static_cast<int>(kLineBytes) / kVectors;
constexpr float kLevels = 127.0f;
constexpr float kFloor = 1e-5f;
// Added to a float of less than 2^22 it leaves the nearest integer, half to even, in the low bits.
constexpr float kRounder = 12582912.0f;

void quantize(const float* __restrict x, int64_t columns, uint8_t* __restrict record, int64_t record_bytes) {
  // As integers, magnitudes of floats order as the floats do, and NaN and infinity come above all others.
  uint32_t largest = 0;
  for (int64_t k = 0; k < columns; ++k) {
    uint32_t bits;
    std::memcpy(&bits, x + k, sizeof bits);
    bits &= 0x7fffffffu;
    largest = bits > largest ? bits : largest;
  }
  const bool finite = largest < 0x7f800000u;
  float absmax;
  std::memcpy(&absmax, &largest, sizeof absmax);
  const float scale = kLevels / (finite && absmax > kFloor ? absmax : kFloor);
  int8_t* codes = reinterpret_cast<int8_t*>(record + kRecordHeader);
  int32_t sum = 0;
  for (int64_t k = 0; k < columns; ++k) {
    const float shifted = (finite ? x[k] * scale : 0.0f) + kRounder;
    int32_t bits, zero;
    std::memcpy(&bits, &shifted, sizeof bits);
    std::memcpy(&zero, &kRounder, sizeof zero);
    codes[k] = static_cast<int8_t>(bits - zero);
    sum += bits - zero;
  }
  std::memset(codes + columns, 0, record_bytes - kRecordHeader - columns);
  const RowHeader header{finite ? 1.0f / scale : __builtin_nanf(""), sum};
  std::memcpy(record, &header, sizeof header);
}

void copy(const int8_t* __restrict from, int64_t columns, uint8_t* __restrict record, int64_t record_bytes) {
  int8_t* codes = reinterpret_cast<int8_t*>(record + kRecordHeader);
  int32_t sum = 0;
  for (int64_t k = 0; k < columns; ++k) {
    codes[k] = from[k];
    sum += from[k];
  }
  std::memset(codes + columns, 0, record_bytes - kRecordHeader - columns);
  const RowHeader header{1.0f, sum};
  std::memcpy(record, &header, sizeof header);
}

// Sums of one row with one vector of each line, a field each.
struct Accumulators {
  Vector::Sums fields[4];
};

inline Accumulators empty() { return {{Vector::zero(), Vector::zero(), Vector::zero(), Vector::zero()}}; }

inline void step(Accumulators& acc, const uint8_t* weights, const uint8_t* codes) {
  const Vector::Register w = Vector::load(weights), x = Vector::broadcast(codes);
  acc.fields[0] = Vector::dot(acc.fields[0], Vector::field<0>(w), x);
  acc.fields[1] = Vector::dot(acc.fields[1], Vector::field<1>(w), x);
  acc.fields[2] = Vector::dot(acc.fields[2], Vector::field<2>(w), x);
  acc.fields[3] = Vector::dot(acc.fields[3], Vector::field<3>(w), x);
}

inline void finish(const Accumulators& acc, int32_t* sums) {
  Vector::add_into<0>(sums, acc.fields[0]);
  Vector::add_into<1>(sums + 16, acc.fields[1]);
  Vector::add_into<2>(sums + 32, acc.fields[2]);
  Vector::add_into<3>(sums + 48, acc.fields[3]);
}

// Adds Σ (trit+1)·code to sums, over kRows rows and some vectors of each line: several hide the latency of one row's
// few accumulators, one leaves registers for more rows. Accumulator i is of vector i / kRows and row i % kRows.
//
// A pack of indices and not loops, so that accumulators are registers whatever the compiler unrolls. It sees that the
// steps of one vector load and mask the same line.
template <int kRows, int... i>
void chunk(const uint8_t* weights, int64_t lines, const uint8_t* codes, int64_t record_bytes,
           int32_t (*sums)[kBlockRows], int first_sum, std::integer_sequence<int, i...>) {
  Accumulators acc[] = {(static_cast<void>(i), empty())...};
  const uint8_t* const end = weights + lines * kLineBytes;
  do {
    __builtin_prefetch(weights + kPrefetchBytes, 0, 2);
    (step(acc[i], weights + i / kRows * kVectorBytes, codes + i % kRows * record_bytes), ...);
    weights += kLineBytes;
    codes += kLineColumns;
  } while (weights < end);
  (finish(acc[i], sums[i % kRows] + first_sum + i / kRows * Vector::kLanes), ...);
}

void store(const Product& p, int64_t row, int64_t nb, const int32_t* sums) {
  RowHeader header;
  std::memcpy(&header, p.records + row * p.record_bytes, sizeof header);
  const int64_t first = nb * kBlockRows;
  const int64_t count = p.out - first < kBlockRows ? p.out - first : kBlockRows;
  const int64_t at = row * p.out + first;
  if (p.sums != nullptr) {
    for (int64_t n = 0; n < count; ++n) p.sums[at + n] = sums[n] - header.sum;
    return;
  }
  // Two multiplications, in this order: one factor of both scales would round differently. Copies, because y might be
  // the product itself for all that the compiler knows.
  const float reciprocal = header.reciprocal, scale = p.scale;
  const int32_t sum = header.sum;
  float* const y = p.y + at;
  if (count == kBlockRows) {
    for (int64_t n = 0; n < kBlockRows; ++n) y[n] = static_cast<float>(sums[n] - sum) * reciprocal * scale;
  } else {
    for (int64_t n = 0; n < count; ++n) y[n] = static_cast<float>(sums[n] - sum) * reciprocal * scale;
  }
}

template <int kRows>
void rows(const Product& p, int64_t nb, int64_t begin) {
  alignas(64) int32_t sums[kRows][kBlockRows] = {};
  constexpr int kTogether = kRows == 1 ? kGemvVectors : 1;
  const uint8_t* block = p.weights + nb * p.lines * kLineBytes;
  const uint8_t* codes = p.records + begin * p.record_bytes + kRecordHeader;
  for (int v = 0; v < kVectors; v += kTogether)
    for (int64_t line = 0; line < p.lines; line += kChunkLines)
      chunk<kRows>(block + line * kLineBytes + v * kVectorBytes,
                              p.lines - line < kChunkLines ? p.lines - line : kChunkLines,
                              codes + line * kLineColumns, p.record_bytes, sums, v * Vector::kLanes,
                              std::make_integer_sequence<int, kRows * kTogether>{});
  for (int r = 0; r < kRows; ++r) store(p, begin + r, nb, sums[r]);
}

// The rows that are left over, at most kRows: one tile of exactly so many.
template <int kRows>
void rest(const Product& p, int64_t nb, int64_t begin, int64_t end) {
  if constexpr (kRows > 0) {
    if (end - begin == kRows)
      rows<kRows>(p, nb, begin);
    else
      rest<kRows - 1>(p, nb, begin, end);
  }
}

void multiply(const Product& product, int64_t nb, int64_t begin, int64_t end) {
  for (; end - begin > kTileRows; begin += kTileRows) rows<kTileRows>(product, nb, begin);
  rest<kTileRows>(product, nb, begin, end);
}
