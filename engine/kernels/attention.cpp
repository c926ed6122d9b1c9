// Attention: one position's query over a cache that grows by that position, in place; and a whole prompt's.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "cpu.h"
#include "export.h"
#include "handler.h"
#include "layout.h"
#include "parallel.h"

namespace ffi = xla::ffi;

namespace bitnet {
namespace {

using Rows = ffi::Buffer<ffi::F32>;

// Where `layer` of the cache starts, after `row` was written at `position`.
const float* grown(ffi::ResultBuffer<ffi::F32>& cache, const Rows& row, int64_t layer, int64_t position) {
  const int64_t size = row.element_count();
  float* const start = cache->typed_data() + layer * cache->dimensions()[1] * size;
  std::memcpy(start + position * size, row.typed_data(), row.size_bytes());
  return start;
}

// query [heads, head_dim]; key, value [kv_heads, head_dim]; caches [layers, kv_seq, kv_heads, head_dim]; layer and
// position scalars; mixed [heads, head_dim]; parts [chunks, heads, head_dim + kPartTail].
ffi::Error attend_decode(ffi::ThreadPool pool, Rows query, Rows key, Rows value, Rows keys, Rows values,
                         ffi::Buffer<ffi::S32> layer, ffi::Buffer<ffi::S32> position, std::string_view isa,
                         ffi::ResultBuffer<ffi::F32> mixed, ffi::ResultBuffer<ffi::F32> grown_keys,
                         ffi::ResultBuffer<ffi::F32> grown_values, ffi::ResultBuffer<ffi::F32> parts) {
  const Kernel* const kernel = kernel_named(isa);
  if (kernel == nullptr) return refuse_isa(isa);
  const auto q = query.dimensions(), row = key.dimensions(), cache = keys.dimensions(), scratch = parts->dimensions();
  if (q.size() != 2 || row.size() != 2 || cache.size() != 4 || scratch.size() != 3)
    return refuse("an operand of the attention has the wrong rank");
  const int64_t index = layer.typed_data()[0], at = position.typed_data()[0];
  if (row[0] != cache[2] || row[1] != cache[3] || value.element_count() != key.element_count() ||
      values.element_count() != keys.element_count() || q[1] != row[1] || q[1] % kHeadStep != 0 || q[0] % row[0] != 0)
    return refuse("the heads of the attention's operands do not fit");
  if (index < 0 || index >= cache[0] || at < 0 || at >= cache[1]) return refuse("the position is not in the cache");
  if (scratch[0] * kChunkPositions < cache[1] || scratch[1] != q[0] || scratch[2] != q[1] + kPartTail)
    return refuse("the scratch does not fit the attention's operands");
  if (keys.typed_data() != grown_keys->typed_data() || values.typed_data() != grown_values->typed_data())
    return refuse("the cache is not handed on in place");

  const Attention attention{query.typed_data(), grown(grown_keys, key, index, at), grown(grown_values, value, index, at),
                            q[0], row[0], q[1], at + 1, std::sqrt(static_cast<float>(q[1])), parts->typed_data(),
                            mixed->typed_data()};
  parallel_for(pool, at / kChunkPositions + 1, 1, [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; ++chunk) kernel->attend(attention, chunk);
  });
  for (int64_t head = 0; head < q[0]; ++head) kernel->merge(attention, head);
  return ffi::Error::Success();
}

// queries, mixed [seq, heads, head_dim]; keys, values [seq, kv_heads, head_dim].
ffi::Error attend_prompt(ffi::ThreadPool pool, Rows queries, Rows keys, Rows values, std::string_view isa,
                         ffi::ResultBuffer<ffi::F32> mixed) {
  const Kernel* const kernel = kernel_named(isa);
  if (kernel == nullptr) return refuse_isa(isa);
  const auto q = queries.dimensions(), row = keys.dimensions();
  if (q.size() != 3 || row.size() != 3) return refuse("an operand of the attention has the wrong rank");
  if (row[0] != q[0] || row[2] != q[2] || values.element_count() != keys.element_count() || q[2] % kHeadStep != 0 ||
      q[1] % row[1] != 0 || mixed->element_count() != queries.element_count())
    return refuse("the heads of the attention's operands do not fit");

  const Prompt prompt{queries.typed_data(), keys.typed_data(), values.typed_data(), q[0], q[1], row[1], q[2],
                      std::sqrt(static_cast<float>(q[2])), mixed->typed_data()};
  const int64_t tiles = (q[0] + kTilePositions - 1) / kTilePositions, chunks = (q[0] + kChunkPositions - 1) / kChunkPositions;
  // Tiles of one head follow each other, so that a thread finds its keys and values in its cache.
  parallel_for(pool, q[1] * tiles, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> scratch(kTilePositions * (q[2] + q[0] + chunks));
    for (int64_t task = begin; task < end; ++task)
      kernel->attend_tile(prompt, task / tiles, task % tiles * kTilePositions, scratch.data());
  });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace bitnet

extern "C" BITNET_EXPORT XLA_FFI_Error* bitnet_attend_decode(XLA_FFI_CallFrame* frame);
extern "C" BITNET_EXPORT XLA_FFI_Error* bitnet_attend_prompt(XLA_FFI_CallFrame* frame);

XLA_FFI_DEFINE_HANDLER_SYMBOL(bitnet_attend_decode, bitnet::attend_decode,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::S32>>()
                                  .Arg<ffi::Buffer<ffi::S32>>()
                                  .Attr<std::string_view>("isa")
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(bitnet_attend_prompt, bitnet::attend_prompt,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Attr<std::string_view>("isa")
                                  .Ret<ffi::Buffer<ffi::F32>>());
