// Attention of a prompt's positions, for any instruction set: many queries at a time, with the very sums of floats.h.
//
// Each instruction set includes this file after floats.h, having set kScoreKeys: keys whose scores its registers hold.
// A vector's lanes are 16 positions here, so that one position's partial sums lie in 16 vectors and not in the lanes of
// one: they are added as the same tree, and a row is to the bit what decoding its last token gives.

static_assert(kTilePositions == kLanes && kChunkPositions % kTilePositions == 0);

// Scratch of one tile, in floats.
struct Tile {
  const float* queries;  // [head_dim, 16]
  float* scores;         // [kv_seq, 16]
  float* largest;        // [chunks, 16], by chunk
  float* widened;        // [32, head_dim]
  int64_t first, rows;   // positions of the prompt
};

// Rows of one key head as floats, and how far one lies from the next.
struct HeadRows {
  const float* at;
  int64_t stride;
};

// `count` rows of keys or of values from position `from` on: as they lie, or widened.
HeadRows head_rows(const Prompt& p, const Tile& tile, const void* stored, int64_t head, int64_t from, int64_t count) {
  const int64_t stride = p.kv_heads * p.head_dim, at = from * stride + head / (p.heads / p.kv_heads) * p.head_dim;
  if (p.type == FloatType::kFloat32) return {static_cast<const float*>(stored) + at, stride};
  const Half* const halves = static_cast<const Half*>(stored) + at;
  for (int64_t t = 0; t < count; ++t)
    for (int64_t k = 0; k < p.head_dim; k += kFloats) {
      const Floats x = floats(halves + t * stride + k);
      std::memcpy(tile.widened + t * p.head_dim + k, &x, sizeof x);
    }
  return {tile.widened, p.head_dim};
}

// Products of queries with keys k = kLane, kLane + kStep, …, added as `fold` adds: that of a step as large as the lanes
// is a sum in order, any other that of two halves. Of some rows of keys at once, for which a query is loaded once.
template <int kLane, int kStep, int... t>
__attribute__((always_inline)) inline void tree(const float* queries, const float* keys, int64_t stride,
                                                int64_t head_dim, Floats* sums, std::integer_sequence<int, t...> all) {
  if constexpr (kStep == kLanes) {
    ((sums[t] = Floats{}), ...);
    for (int64_t k = kLane; k < head_dim; k += kLanes) {
      const Floats x = floats(queries + k * kTilePositions);
      ((sums[t] += x * keys[t * stride + k]), ...);
    }
  } else {
    Floats halves[sizeof...(t)];
    tree<kLane, 2 * kStep>(queries, keys, stride, head_dim, sums, all);
    tree<kLane + kStep, 2 * kStep>(queries, keys, stride, head_dim, halves, all);
    ((sums[t] += halves[t]), ...);
  }
}

// scores[t] of some rows of keys, 16 positions each.
template <int... t>
void score_keys(const Prompt& p, const Tile& tile, const float* keys, int64_t stride, float* scores,
                std::integer_sequence<int, t...> all) {
  for (int64_t lane = 0; lane < kTilePositions; lane += kFloats) {
    Floats sums[sizeof...(t)];
    tree<0, 1>(tile.queries + lane, keys, stride, p.head_dim, sums, all);
    ((sums[t] /= Floats{} + p.root), ...);
    (std::memcpy(scores + t * kTilePositions + lane, &sums[t], sizeof(Floats)), ...);
  }
}

// Scores of the keys from `from` on; -inf where a key comes after a position.
void score_chunk(const Prompt& p, const Tile& tile, HeadRows keys, int64_t from, int64_t count) {
  float* const scores = tile.scores + from * kTilePositions;
  int64_t t = 0;
  for (; t + kScoreKeys <= count; t += kScoreKeys)
    score_keys(p, tile, keys.at + t * keys.stride, keys.stride, scores + t * kTilePositions,
               std::make_integer_sequence<int, kScoreKeys>{});
  for (; t < count; ++t)
    score_keys(p, tile, keys.at + t * keys.stride, keys.stride, scores + t * kTilePositions,
               std::make_integer_sequence<int, 1>{});
  for (int64_t hidden = tile.first + 1; hidden < from + count; ++hidden)
    for (int64_t lane = 0; lane < hidden - tile.first; ++lane)
      tile.scores[hidden * kTilePositions + lane] = -__builtin_inff();
  float* const largest = tile.largest + from / kChunkPositions * kTilePositions;
  for (int64_t lane = 0; lane < kTilePositions; lane += kFloats) {
    Floats top = floats(scores + lane);
    for (t = 1; t < count; ++t) {
      const Floats score = floats(scores + t * kTilePositions + lane);
      top = score > top ? score : top;
    }
    std::memcpy(largest + lane, &top, sizeof top);
  }
}

// Adds to kRows positions' mixed values what one chunk gives them, times `share`, as `merge` does.
template <int kRows, int kVectors>
void mix_columns(const Prompt& p, const float* weights, HeadRows values, int64_t count, const float* share,
                 float* mixed) {
  alignas(64) float part[kRows][kVectors * kFloats];
  mix<kRows, kVectors, float>(weights, kTilePositions, values.at, values.stride, count, nullptr, part[0],
                              kVectors * kFloats, std::make_integer_sequence<int, kRows * kVectors>{});
  for (int row = 0; row < kRows; ++row) {
    float* const to = mixed + row * p.heads * p.head_dim;
    for (int64_t k = 0; k < kVectors * kFloats; ++k) to[k] += part[row][k] * share[row];
  }
}

template <int kRows>
void mix_rows(const Prompt& p, const float* weights, HeadRows values, int64_t count, const float* share, float* mixed) {
  int64_t column = 0;
  for (; column + kMixVectors * kFloats <= p.head_dim; column += kMixVectors * kFloats)
    mix_columns<kRows, kMixVectors>(p, weights, {values.at + column, values.stride}, count, share, mixed + column);
  for (; column < p.head_dim; column += kFloats)
    mix_columns<kRows, 1>(p, weights, {values.at + column, values.stride}, count, share, mixed + column);
}

// Turns one chunk's scores into weights, by its own largest, and adds what they mix and their sums.
void mix_chunk(const Prompt& p, const Tile& tile, HeadRows values, int64_t from, int64_t count, const float* largest,
               float* totals, float* mixed) {
  float* const weights = tile.scores + from * kTilePositions;
  const float* const here = tile.largest + from / kChunkPositions * kTilePositions;
  alignas(64) float share[kTilePositions], sums[kTilePositions];
  for (int64_t lane = 0; lane < kTilePositions; ++lane) share[lane] = exponential(here[lane] - largest[lane]);
  for (int64_t t = 0; t < count; ++t)
    for (int64_t lane = 0; lane < kTilePositions; ++lane) weights[t * kTilePositions + lane] -= here[lane];
  for (int64_t i = 0; i < count * kTilePositions; ++i) weights[i] = exponential(weights[i]);
  for (int64_t lane = 0; lane < kTilePositions; lane += kFloats) {
    Floats total = {};
    for (int64_t t = 0; t < count; ++t) total += floats(weights + t * kTilePositions + lane);
    std::memcpy(sums + lane, &total, sizeof total);
  }
  for (int64_t lane = 0; lane < kTilePositions; ++lane) totals[lane] += sums[lane] * share[lane];
  const int64_t stride = p.heads * p.head_dim;
  int64_t row = 0;
  if (from + count <= tile.first + 1)
    for (; row + kMostHeads <= tile.rows; row += kMostHeads)
      mix_rows<kMostHeads>(p, weights + row, values, count, share + row, mixed + row * stride);
  // One by one where each sees another number of keys: what follows a position may be NaN.
  for (; row < tile.rows; ++row) {
    const int64_t seen = tile.first + row + 1 - from;
    mix_rows<1>(p, weights + row, values, seen < count ? seen : count, share + row, mixed + row * stride);
  }
}

// Attention of one head over the tile of 16 positions from `first` on, of which the prompt may have fewer.
void attend_tile(const Prompt& p, int64_t head, int64_t first, float* scratch) {
  const int64_t rows = p.seq - first < kTilePositions ? p.seq - first : kTilePositions, length = first + rows;
  const int64_t stride = p.heads * p.head_dim, chunks = (p.seq + kChunkPositions - 1) / kChunkPositions;
  float* const queries = scratch;
  float* const scores = queries + p.head_dim * kTilePositions;
  float* const by_chunk = scores + p.seq * kTilePositions;
  const Tile tile{queries, scores, by_chunk, by_chunk + chunks * kTilePositions, first, rows};
  std::memset(queries, 0, p.head_dim * kTilePositions * sizeof(float));
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t k = 0; k < p.head_dim; ++k)
      queries[k * kTilePositions + row] = p.queries[(first + row) * stride + head * p.head_dim + k];

  alignas(64) float largest[kTilePositions], totals[kTilePositions] = {};
  for (float& score : largest) score = -__builtin_inff();
  for (int64_t from = 0; from < length; from += kChunkPositions) {
    const int64_t count = length - from < kChunkPositions ? length - from : kChunkPositions;
    score_chunk(p, tile, head_rows(p, tile, p.keys, head, from, count), from, count);
    const float* const here = tile.largest + from / kChunkPositions * kTilePositions;
    for (int64_t lane = 0; lane < kTilePositions; ++lane)
      largest[lane] = here[lane] > largest[lane] ? here[lane] : largest[lane];
  }
  float* const mixed = p.mixed + first * stride + head * p.head_dim;
  for (int64_t row = 0; row < rows; ++row) std::memset(mixed + row * stride, 0, p.head_dim * sizeof(float));
  for (int64_t from = 0; from < length; from += kChunkPositions) {
    const int64_t count = length - from < kChunkPositions ? length - from : kChunkPositions;
    mix_chunk(p, tile, head_rows(p, tile, p.values, head, from, count), from, count, largest, totals, mixed);
  }
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t k = 0; k < p.head_dim; ++k) mixed[row * stride + k] /= totals[row];
}
