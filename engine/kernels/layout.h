// What every kernel agrees on: how weights and activations lie in memory, and what an instruction set has to offer.
//
// Weights: w[N/64][K/4][16][4], one byte for four trits. Field f (two bits) of byte (i, j) in line kb of block nb is
// the trit + 1 of row 64·nb + 16·f + i, column 4·kb + j. A line of 64 bytes is so four 16-row by 4-column operands of
// a byte dot product, each reached by one mask; nothing is shuffled. Rows are padded to 64, columns to kColumnStep.
//
// Activations: one record a row of x: a header of 64 bytes, then the int8 codes, zero beyond K up to a multiple of 64.
//
// Knows nothing of XLA. Included by code compiled for different instruction sets, so it holds no function: an inline
// function emitted from two such units is merged by the linker, and the survivor may not run on this machine.
#pragma once

#include <cstdint>

namespace bitnet {

constexpr int64_t kBlockRows = 64;
constexpr int64_t kLineBytes = 64;
constexpr int64_t kLineColumns = 4;
constexpr int64_t kColumnStep = 16;
constexpr int64_t kRecordHeader = 64;

// A quantised row: x ≈ code · reciprocal. The codes follow, kRecordHeader bytes after the start.
struct RowHeader {
  float reciprocal;  // 1 / scale; NaN where the row of x held one, or an infinity
  int32_t sum;       // of the codes: Σ trit·code = Σ (trit+1)·code − sum
};

// One product: rows of activations against a packed matrix. Exactly one of y and sums is set.
struct Product {
  const uint8_t* weights;
  int64_t lines;          // of 64 bytes in a block: padded K / 4
  const uint8_t* records;
  int64_t record_bytes;
  int64_t out;            // N, the stride of y and sums
  float scale;            // of the weights
  float* y;
  int32_t* sums;
};

// How a table, or a cache, stores its numbers: all of them are exact as float32.
enum class FloatType { kFloat32, kFloat16, kBfloat16 };

// Decode attention of one position, over one layer's cache. Positions are cut into chunks, whatever shares them out, so
// that the order of sums depends on no number of threads.
constexpr int64_t kChunkPositions = 32;
constexpr int64_t kPartTail = 16;  // floats behind a part's mixed values: its largest score, and its sum of weights
constexpr int64_t kHeadStep = 16;  // head_dim is a multiple of it

struct Attention {
  const float* query;        // [heads, head_dim]
  const void* keys;          // [kv_seq, kv_heads, head_dim] in `type`, as are values
  const void* values;
  FloatType type;
  int64_t heads, kv_heads, head_dim;
  int64_t length;            // positions to read
  float root;                // of head_dim
  float* parts;              // [chunks, heads, head_dim + kPartTail]
  float* mixed;              // [heads, head_dim]
};

// Attention of a prompt, whose positions see themselves and those before them. Positions are cut into tiles.
constexpr int64_t kTilePositions = 16;

struct Prompt {
  const float* queries;      // [seq, heads, head_dim], as is mixed
  const void* keys;          // [seq, kv_heads, head_dim] in `type`, as are values
  const void* values;
  FloatType type;
  int64_t seq, heads, kv_heads, head_dim;
  float root;                // of head_dim
  float* mixed;
};

// One row of hidden states against a model's head.
struct Head {
  const float* hidden;
  const void* table;         // [vocab, columns]
  FloatType type;
  int64_t columns;
  float* logits;
};

// What one instruction set provides.
struct Kernel {
  const char* name;
  // Rows of x multiplied per pass over a block; a caller gives a multiple of it where it can, whose records take no
  // more than task_bytes.
  int64_t tile_rows, task_bytes;
  // Quantises row x[columns] by its absmax into a record of `record_bytes`.
  void (*quantize)(const float* x, int64_t columns, uint8_t* record, int64_t record_bytes);
  // Copies int8 codes into a record, for callers that quantise by themselves.
  void (*copy)(const int8_t* codes, int64_t columns, uint8_t* record, int64_t record_bytes);
  // Multiplies rows [begin, end) with block nb.
  void (*multiply)(const Product& product, int64_t nb, int64_t begin, int64_t end);
  // Attends to one chunk of positions; and then puts one head's chunks together.
  void (*attend)(const Attention& attention, int64_t chunk);
  void (*merge)(const Attention& attention, int64_t head);
  // Attends with one head's queries of the tile from position `first` on; takes kTilePositions · (head_dim + seq + 1 a
  // chunk of seq) + kChunkPositions · head_dim floats of scratch.
  void (*attend_tile)(const Prompt& prompt, int64_t head, int64_t first, float* scratch);
  // Multiplies rows [begin, end) of the table.
  void (*head)(const Head& head, int64_t begin, int64_t end);
};

extern const Kernel kPortable;
#if defined(__x86_64__)
extern const Kernel kAvx2, kAvxVnni, kAvx512Vnni, kAmxInt8;
#elif defined(__aarch64__)
extern const Kernel kNeon;
#endif

}  // namespace bitnet
