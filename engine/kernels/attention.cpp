// Decode attention: one position's query over a cache that grows by that position, in place.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "cpu.h"
#include "export.h"
#include "handler.h"
#include "layout.h"
#include "parallel.h"

namespace ffi = xla::ffi;

namespace bitnet {
namespace {

using Cache = ffi::AnyBuffer;

bool one_type(const ffi::AnyBuffer& row, const Cache& cache) {
  return row.element_type() == cache.element_type() && (row.element_type() == ffi::F32 || row.element_type() == ffi::F16);
}

// Where `layer` of the cache starts, after `row` was written at `position`.
const char* grown(ffi::Result<Cache>& cache, const ffi::AnyBuffer& row, int64_t layer, int64_t position) {
  const auto shape = cache->dimensions();
  char* const start = static_cast<char*>(cache->untyped_data()) + cache->size_bytes() / shape[0] * layer;
  std::memcpy(start + position * row.size_bytes(), row.untyped_data(), row.size_bytes());
  return start;
}

// query [heads, head_dim]; key, value [kv_heads, head_dim] and caches [layers, kv_seq, kv_heads, head_dim] of one type;
// layer and position scalars; mixed [heads, head_dim]; parts [chunks, heads, head_dim + kPartTail].
ffi::Error attend_decode(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> query, ffi::AnyBuffer key, ffi::AnyBuffer value,
                         Cache keys, Cache values, ffi::Buffer<ffi::S32> layer, ffi::Buffer<ffi::S32> position,
                         std::string_view isa, ffi::ResultBuffer<ffi::F32> mixed, ffi::Result<Cache> grown_keys,
                         ffi::Result<Cache> grown_values, ffi::ResultBuffer<ffi::F32> parts) {
  const Kernel* const kernel = kernel_named(isa);
  if (kernel == nullptr) return refuse_isa(isa);
  const auto q = query.dimensions(), row = key.dimensions(), cache = keys.dimensions(), scratch = parts->dimensions();
  if (q.size() != 2 || row.size() != 2 || cache.size() != 4 || scratch.size() != 3)
    return refuse("an operand of the attention has the wrong rank");
  const int64_t index = layer.typed_data()[0], at = position.typed_data()[0];
  if (row[0] != cache[2] || row[1] != cache[3] || q[1] != row[1] || q[1] % 16 != 0 || q[0] % row[0] != 0)
    return refuse("the heads of the attention's operands do not fit");
  if (!one_type(key, keys) || !one_type(value, values) || key.element_type() != value.element_type())
    return refuse("keys and values are not all float32 or all float16");
  if (index < 0 || index >= cache[0] || at < 0 || at >= cache[1]) return refuse("the position is not in the cache");
  if (scratch[0] * kChunkPositions < cache[1] || scratch[1] != q[0] || scratch[2] != q[1] + kPartTail)
    return refuse("the scratch does not fit the attention's operands");
  if (keys.untyped_data() != grown_keys->untyped_data() || values.untyped_data() != grown_values->untyped_data())
    return refuse("the cache is not handed on in place");

  const Attention attention{query.typed_data(), grown(grown_keys, key, index, at), grown(grown_values, value, index, at),
                            key.element_type() == ffi::F16, q[0], row[0], q[1], at + 1,
                            std::sqrt(static_cast<float>(q[1])), parts->typed_data(), mixed->typed_data()};
  parallel_for(pool, at / kChunkPositions + 1, 1, [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; ++chunk) kernel->attend(attention, chunk);
  });
  for (int64_t head = 0; head < q[0]; ++head) kernel->merge(attention, head);
  return ffi::Error::Success();
}

}  // namespace
}  // namespace bitnet

extern "C" BITNET_EXPORT XLA_FFI_Error* bitnet_attend_decode(XLA_FFI_CallFrame* frame);

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
