// The operations in floats, for any instruction set: a chunk of decode attention, and rows of a model's head.
//
// Each instruction set includes this file after tile.h, having given its Vector a register of Floats and set
// kMixVectors: such registers of a result that it has for four heads. A sum's order is written down here and nowhere
// left to the width of a vector: 16 partial sums, added as a tree. Nothing is contracted into a fused multiply-add, and
// e^x is ours.
// So every instruction set gives the same bits. They are not XLA's, which orders sums as it likes.

typedef float Lanes __attribute__((vector_size(64)));
constexpr int64_t kLanes = 16;

// For sums whose lanes never meet, a register: 64 bytes at once, GCC 12 keeps in memory where a register has fewer.
typedef Vector::Floats Floats;
constexpr int64_t kFloats = sizeof(Floats) / sizeof(float);

// Bytes of a table that are asked for ahead of those at hand: of 1 to 20 KB the fastest where it was measured.
constexpr int64_t kTableAhead = 2560;

struct Half {
  uint16_t bits;
};
struct Brain {
  uint16_t bits;
};

inline Lanes lanes(const float* at) {
  Lanes x;
  std::memcpy(&x, at, sizeof x);
  return x;
}

inline Floats floats(const float* at) {
  Floats x;
  std::memcpy(&x, at, sizeof x);
  return x;
}

inline Lanes lanes(const Brain* at) {
  typedef uint16_t Shorts __attribute__((vector_size(32)));
  typedef uint32_t Words __attribute__((vector_size(64)));
  Shorts shorts;
  std::memcpy(&shorts, at, sizeof shorts);
  const Words words = __builtin_convertvector(shorts, Words) << 16;
  Lanes x;
  std::memcpy(&x, &words, sizeof x);
  return x;
}

inline Floats floats(const Half* at) { return Vector::widen(&at->bits); }

inline Lanes lanes(const Half* at) {
  float stored[kLanes];
  for (int64_t i = 0; i < kLanes; i += kFloats) {
    const Floats part = floats(at + i);
    std::memcpy(stored + i, &part, sizeof part);
  }
  return lanes(stored);
}

// The first `count` of 16 numbers, then zeros.
template <typename T>
inline Lanes first(const T* at, int64_t count) {
  T padded[kLanes] = {};
  std::memcpy(padded, at, count * sizeof(T));
  return lanes(padded);
}

// Four sums of a row each, which together are the sum: halves of the 16 lanes are added, and halves of those.
inline void fold(const float* x, float* to) {
  typedef float Eight __attribute__((vector_size(32)));
  typedef float Four __attribute__((vector_size(16)));
  Eight low8, high8;
  std::memcpy(&low8, x, sizeof low8);
  std::memcpy(&high8, x + 8, sizeof high8);
  low8 += high8;
  float eight[8];
  std::memcpy(eight, &low8, sizeof eight);
  Four low4, high4;
  std::memcpy(&low4, eight, sizeof low4);
  std::memcpy(&high4, eight + 4, sizeof high4);
  low4 += high4;
  std::memcpy(to, &low4, sizeof low4);
}

inline float sum(Lanes x) {
  float stored[kLanes], four[4];
  std::memcpy(stored, &x, sizeof stored);
  fold(stored, four);
  return (four[0] + four[2]) + (four[1] + four[3]);
}

// Brings `count` numbers from `at` on into L2, a line at a time.
template <typename T>
inline void fetch(const T* at, int64_t count) {
  constexpr int64_t kStep = kLineBytes / sizeof(T);
  for (int64_t i = 0; i < count; i += kStep) __builtin_prefetch(at + i, 0, 2);
}

// Σ x·w: lane i of sum j is of columns 64·n + 16·j + i. Fetches w well ahead, where the next rows are.
template <typename T>
inline float dot(const float* x, const T* w, int64_t columns) {
  Lanes a = {}, b = {}, c = {}, d = {};
  int64_t k = 0;
  for (; k + 4 * kLanes <= columns; k += 4 * kLanes) {
    fetch(w + k + kTableAhead / sizeof(T), 4 * kLanes);
    a += lanes(x + k) * lanes(w + k);
    b += lanes(x + k + kLanes) * lanes(w + k + kLanes);
    c += lanes(x + k + 2 * kLanes) * lanes(w + k + 2 * kLanes);
    d += lanes(x + k + 3 * kLanes) * lanes(w + k + 3 * kLanes);
  }
  for (; k + kLanes <= columns; k += kLanes) a += lanes(x + k) * lanes(w + k);
  if (k < columns) b += first(x + k, columns - k) * first(w + k, columns - k);
  return sum((a + b) + (c + d));
}

// e^x for x <= 0, within 2 ulp; 0 below the smallest normal float. NaN stays NaN. Cephes' expf.
inline float exponential(float x) {
  const float shifted = x * 1.44269504088896341f + kRounder;
  const float power = shifted - kRounder;
  const float r = x - power * 0.693359375f - power * -2.12194440e-4f;
  float y = 1.9875691500e-4f;
  y = y * r + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = y * (r * r) + r + 1.0f;
  uint32_t bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 127) << 23;  // the low bits of `shifted` are the power of two
  float scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return x < -87.0f ? 0.0f : y * scale;
}

// Query heads that share a key head, taken together, so that a row of the cache is loaded once for all.
constexpr int kMostHeads = 4;

// Registers of 16 partial sums.
constexpr int kParts = kLanes / kFloats;

// Products of one row of keys with some queries, summed to 16 lanes each. Sum i is of query i / kParts.
template <typename T, int... i>
__attribute__((noinline)) void products(const float* queries, const T* key, int64_t head_dim, float* to,
                                        std::integer_sequence<int, i...>) {
  Floats sums[] = {(static_cast<void>(i), Floats{})...};
  for (int64_t k = 0; k < head_dim; k += kLanes)
    ((sums[i] += floats(queries + i / kParts * head_dim + k + i % kParts * kFloats) *
                 floats(key + k + i % kParts * kFloats)),
     ...);
  (std::memcpy(to + i * kFloats, &sums[i], sizeof(Floats)), ...);
}

// scores[t][h] of `count` rows of keys with some queries, one behind the other. Asks for as many heads' rows at `next`,
// which a later chunk reads. Packs of indices, as in tile.h.
template <typename T, int... h>
inline void score(const Attention& p, const float* queries, const T* keys, int64_t count, const T* next, float* scores,
                  std::integer_sequence<int, h...>) {
  constexpr int kHeads = sizeof...(h);
  const int64_t stride = p.kv_heads * p.head_dim;
  alignas(64) float folded[kChunkPositions * kHeads][4];
  for (int64_t t = 0; t < count; ++t) {
    fetch(next + t * p.head_dim, p.head_dim);
    alignas(64) float stored[kHeads * kLanes];
    products(queries, keys + t * stride, p.head_dim, stored, std::make_integer_sequence<int, kHeads * kParts>{});
    (fold(stored + h * kLanes, folded[t * kHeads + h]), ...);
  }
  for (int64_t i = 0; i < count * kHeads; ++i)
    scores[i] = ((folded[i][0] + folded[i][2]) + (folded[i][1] + folded[i][3])) / p.root;
}

// Σ weights[t][row] · values[t] of `count` rows of values, in their order: kVectors registers of columns of kRows
// results. Strides are in numbers. Sum i is of row i / kVectors and register i % kVectors. Asks for as many values at
// `next`, if any.
template <int kRows, int kVectors, typename T, int... i>
inline void mix(const float* weights, int64_t weights_stride, const T* values, int64_t values_stride, int64_t count,
                const T* next, float* mixed, int64_t mixed_stride, std::integer_sequence<int, i...>) {
  Floats sums[] = {(static_cast<void>(i), Floats{})...};
  for (int64_t t = 0; t < count; ++t) {
    if (next != nullptr) fetch(next + t * kVectors * kFloats, kVectors * kFloats);
    ((sums[i] += weights[t * weights_stride + i / kVectors] *
                 floats(values + t * values_stride + i % kVectors * kFloats)),
     ...);
  }
  (std::memcpy(mixed + i / kVectors * mixed_stride + i % kVectors * kFloats, &sums[i], sizeof(Floats)), ...);
}

// Attention of kHeads heads over one chunk of positions, by the chunk's own largest scores: `merge` adds up chunks.
template <int kHeads, typename T>
void attend_heads(const Attention& p, int64_t chunk, int64_t head) {
  const int64_t from = chunk * kChunkPositions, stride = p.kv_heads * p.head_dim;
  const int64_t count = p.length - from < kChunkPositions ? p.length - from : kChunkPositions;
  const int64_t at = from * stride + head / (p.heads / p.kv_heads) * p.head_dim;
  const T* const keys = static_cast<const T*>(p.keys);
  const T* const values = static_cast<const T*>(p.values);
  // A part of the next chunk, which comes in while this one is computed: after all key heads, all of it has, in order.
  const int64_t group = head / (p.heads / p.kv_heads);
  const int64_t next = (from + kChunkPositions) * stride + group * kChunkPositions * p.head_dim;
  float weights[kChunkPositions * kHeads], largest[kHeads], totals[kHeads] = {};
  score(p, p.query + head * p.head_dim, keys + at, count, keys + next, weights,
        std::make_integer_sequence<int, kHeads>{});
  for (float& score : largest) score = -__builtin_inff();
  for (int64_t t = 0; t < count; ++t)
    for (int h = 0; h < kHeads; ++h)
      largest[h] = weights[t * kHeads + h] > largest[h] ? weights[t * kHeads + h] : largest[h];
  for (int64_t t = 0; t < count; ++t)
    for (int h = 0; h < kHeads; ++h) weights[t * kHeads + h] -= largest[h];
  for (int64_t i = 0; i < count * kHeads; ++i) weights[i] = exponential(weights[i]);
  for (int64_t t = 0; t < count; ++t)
    for (int h = 0; h < kHeads; ++h) totals[h] += weights[t * kHeads + h];
  const T* const later = values + next;
  const int64_t size = p.head_dim + kPartTail;
  float* const part = p.parts + (chunk * p.heads + head) * size;
  int64_t column = 0;
  for (; column + kMixVectors * kFloats <= p.head_dim; column += kMixVectors * kFloats)
    mix<kHeads, kMixVectors>(weights, kHeads, values + at + column, stride, count, later + column * kChunkPositions,
                             part + column, size, std::make_integer_sequence<int, kHeads * kMixVectors>{});
  for (; column < p.head_dim; column += kFloats)
    mix<kHeads, 1>(weights, kHeads, values + at + column, stride, count, later + column * kChunkPositions,
                   part + column, size, std::make_integer_sequence<int, kHeads>{});
  for (int h = 0; h < kHeads; ++h) {
    float* const tail = part + h * size + p.head_dim;
    tail[0] = largest[h], tail[1] = totals[h];
  }
}

template <int kHeads, typename T>
void attend_rest(const Attention& p, int64_t chunk, int64_t head, int64_t end) {
  if constexpr (kHeads > 0) {
    if (end - head == kHeads)
      attend_heads<kHeads, T>(p, chunk, head);
    else
      attend_rest<kHeads - 1, T>(p, chunk, head, end);
  }
}

template <typename T>
void attend_stored(const Attention& p, int64_t chunk) {
  const int64_t group = p.heads / p.kv_heads;
  for (int64_t begin = 0; begin < p.heads; begin += group) {
    int64_t head = begin;
    for (; begin + group - head > kMostHeads; head += kMostHeads) attend_heads<kMostHeads, T>(p, chunk, head);
    attend_rest<kMostHeads, T>(p, chunk, head, begin + group);
  }
}

void attend(const Attention& p, int64_t chunk) {
  p.type == FloatType::kFloat16 ? attend_stored<Half>(p, chunk) : attend_stored<float>(p, chunk);
}

// Puts the chunks of one head together, in their order.
void merge(const Attention& p, int64_t head) {
  const int64_t chunks = (p.length + kChunkPositions - 1) / kChunkPositions;
  const int64_t size = p.head_dim + kPartTail, stride = p.heads * size;
  const float* const part = p.parts + head * size;
  float largest = -__builtin_inff(), total = 0;
  for (int64_t c = 0; c < chunks; ++c) {
    const float here = part[c * stride + p.head_dim];
    largest = here > largest ? here : largest;
  }
  float* const mixed = p.mixed + head * p.head_dim;
  std::memset(mixed, 0, p.head_dim * sizeof(float));
  for (int64_t c = 0; c < chunks; ++c) {
    const float* const of = part + c * stride;
    const float weight = exponential(of[p.head_dim] - largest);
    total += of[p.head_dim + 1] * weight;
    for (int64_t k = 0; k < p.head_dim; ++k) mixed[k] += of[k] * weight;
  }
  for (int64_t k = 0; k < p.head_dim; ++k) mixed[k] /= total;
}

template <typename T>
void logits(const Head& p, int64_t begin, int64_t end) {
  const T* const table = static_cast<const T*>(p.table);
  for (int64_t row = begin; row < end; ++row)
    p.logits[row] = dot(p.hidden, table + row * p.columns, p.columns);
}

void multiply_table(const Head& p, int64_t begin, int64_t end) {
  switch (p.type) {
    case FloatType::kFloat32: return logits<float>(p, begin, end);
    case FloatType::kFloat16: return logits<Half>(p, begin, end);
    case FloatType::kBfloat16: return logits<Brain>(p, begin, end);
  }
}
