// Attention: one position's query over a cache that grows by that position, in place; and a whole prompt's.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "cpu.h"
#include "export.h"
#include "handler.h"
#include "layout.h"
#include "parallel.h"

namespace ffi = xla::ffi;

namespace bitnet {
namespace {

using Queries = ffi::Buffer<ffi::F32>;
using Rows = ffi::AnyBuffer;  // of keys or values, in float32 or in float16

// Where `layer` of the cache starts, after `row` was written at `position`.
const void* grown(ffi::Result<Rows>& cache, const Rows& row, int64_t layer, int64_t position) {
  const int64_t size = row.size_bytes();
  uint8_t* const start = static_cast<uint8_t*>(cache->untyped_data()) + layer * cache->dimensions()[1] * size;
  std::memcpy(start + position * size, row.untyped_data(), size);
  return start;
}

// Whether all are of one type, of the two that are read.
template <typename... Others>
bool one_type(const Rows& rows, const Others&... others) {
  const ffi::DataType type = rows.element_type();
  return (type == ffi::F32 || type == ffi::F16) && ((others.element_type() == type) && ...);
}

FloatType type_of(const Rows& rows) {
  return rows.element_type() == ffi::F16 ? FloatType::kFloat16 : FloatType::kFloat32;
}

// query [heads, head_dim]; key, value [kv_heads, head_dim]; caches [layers, kv_seq, kv_heads, head_dim]; layer and
// position scalars; mixed [heads, head_dim]; parts [chunks, heads, head_dim + kPartTail].
ffi::Error attend_decode(ffi::ThreadPool pool, Queries query, Rows key, Rows value, Rows keys, Rows values,
                         ffi::Buffer<ffi::S32> layer, ffi::Buffer<ffi::S32> position, std::string_view isa,
                         ffi::ResultBuffer<ffi::F32> mixed, ffi::Result<Rows> grown_keys,
                         ffi::Result<Rows> grown_values, ffi::ResultBuffer<ffi::F32> parts) {
  const Kernel* const kernel = kernel_named(isa);
  if (kernel == nullptr) return refuse_isa(isa);
  const auto q = query.dimensions(), row = key.dimensions(), cache = keys.dimensions(), scratch = parts->dimensions();
  if (q.size() != 2 || row.size() != 2 || cache.size() != 4 || scratch.size() != 3)
    return refuse("an operand of the attention has the wrong rank");
  const int64_t index = layer.typed_data()[0], at = position.typed_data()[0];
  if (row[0] != cache[2] || row[1] != cache[3] || value.element_count() != key.element_count() ||
      values.element_count() != keys.element_count() || q[1] != row[1] || q[1] % kHeadStep != 0 || q[0] % row[0] != 0)
    return refuse("the heads of the attention's operands do not fit");
  if (!one_type(key, value, keys, values, *grown_keys, *grown_values))
    return refuse("keys and values are not all float32 or all float16");
  if (index < 0 || index >= cache[0] || at < 0 || at >= cache[1]) return refuse("the position is not in the cache");
  if (scratch[0] * kChunkPositions < cache[1] || scratch[1] != q[0] || scratch[2] != q[1] + kPartTail)
    return refuse("the scratch does not fit the attention's operands");
  if (keys.untyped_data() != grown_keys->untyped_data() || values.untyped_data() != grown_values->untyped_data())
    return refuse("the cache is not handed on in place");

  const Attention attention{query.typed_data(), grown(grown_keys, key, index, at),
                            grown(grown_values, value, index, at), type_of(keys), q[0], row[0], q[1], at + 1,
                            std::sqrt(static_cast<float>(q[1])), parts->typed_data(), mixed->typed_data()};
  parallel_for(pool, at / kChunkPositions + 1, 1, [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; ++chunk) kernel->attend(attention, chunk);
  });
  for (int64_t head = 0; head < q[0]; ++head) kernel->merge(attention, head);
  return ffi::Error::Success();
}

// queries, mixed [seq, heads, head_dim]; keys, values [seq, kv_heads, head_dim].
ffi::Error attend_prompt(ffi::ThreadPool pool, Queries queries, Rows keys, Rows values, std::string_view isa,
                         ffi::ResultBuffer<ffi::F32> mixed) {
  const Kernel* const kernel = kernel_named(isa);
  if (kernel == nullptr) return refuse_isa(isa);
  const auto q = queries.dimensions(), row = keys.dimensions();
  if (q.size() != 3 || row.size() != 3) return refuse("an operand of the attention has the wrong rank");
  if (row[0] != q[0] || row[2] != q[2] || values.element_count() != keys.element_count() || q[2] % kHeadStep != 0 ||
      q[1] % row[1] != 0 || mixed->element_count() != queries.element_count())
    return refuse("the heads of the attention's operands do not fit");
  if (!one_type(keys, values)) return refuse("keys and values are not all float32 or all float16");

  const Prompt prompt{queries.typed_data(), keys.untyped_data(), values.untyped_data(), type_of(keys), q[0], q[1],
                      row[1], q[2], std::sqrt(static_cast<float>(q[2])), mixed->typed_data()};
  const int64_t tiles = (q[0] + kTilePositions - 1) / kTilePositions;
  const int64_t chunks = (q[0] + kChunkPositions - 1) / kChunkPositions;
  const int64_t floats = kTilePositions * (q[2] + q[0] + chunks) + kChunkPositions * q[2];
  // Tiles of one head follow each other, so that a thread finds its keys and values in its cache.
  parallel_for(pool, q[1] * tiles, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> scratch(floats);
    for (int64_t task = begin; task < end; ++task)
      kernel->attend_tile(prompt, task / tiles, task % tiles * kTilePositions, scratch.data());
  });
  return ffi::Error::Success();
}

constexpr uintptr_t kHugePage = 2 << 20;

// Zeros for a cache, on huge pages where the system grants them: a step reads all of it, and finding its small pages
// took a third of the time of reading them. Asked for before anything is written: what is touched keeps its pages.
ffi::Error zeros(ffi::ThreadPool pool, ffi::Result<Rows> made) {
  uint8_t* const start = static_cast<uint8_t*>(made->untyped_data());
  const int64_t size = made->size_bytes(), pages = (size + kHugePage - 1) / kHugePage;
#if defined(__linux__)
  const uintptr_t at = reinterpret_cast<uintptr_t>(start);
  const uintptr_t first = (at + kHugePage - 1) / kHugePage * kHugePage, last = (at + size) / kHugePage * kHugePage;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
  parallel_for(pool, pages, 1, [&](int64_t begin, int64_t end) {
    const int64_t from = begin * kHugePage, to = std::min<int64_t>(end * kHugePage, size);
    std::memset(start + from, 0, to - from);
  });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace bitnet

extern "C" BITNET_EXPORT XLA_FFI_Error* bitnet_attend_decode(XLA_FFI_CallFrame* frame);
extern "C" BITNET_EXPORT XLA_FFI_Error* bitnet_attend_prompt(XLA_FFI_CallFrame* frame);
extern "C" BITNET_EXPORT XLA_FFI_Error* bitnet_zeros(XLA_FFI_CallFrame* frame);

XLA_FFI_DEFINE_HANDLER_SYMBOL(bitnet_attend_decode, bitnet::attend_decode,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::Buffer<ffi::S32>>()
                                  .Arg<ffi::Buffer<ffi::S32>>()
                                  .Attr<std::string_view>("isa")
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Ret<ffi::Buffer<ffi::F32>>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(bitnet_attend_prompt, bitnet::attend_prompt,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Attr<std::string_view>("isa")
                                  .Ret<ffi::Buffer<ffi::F32>>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(bitnet_zeros, bitnet::zeros,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Ret<ffi::AnyBuffer>());
