// The handlers that XLA calls, and what Python asks the library before it registers them.
#include <cstdint>
#include <string>
#include <string_view>

#include "cpu.h"
#include "export.h"
#include "handler.h"
#include "layout.h"
#include "parallel.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace bitnet {
namespace {

// Below so many floats, waking another thread costs more than quantising.
constexpr int64_t kQuantizeGrain = 16384;

using Weights = ffi::Buffer<ffi::U8>;
using Layer = ffi::Buffer<ffi::S32>;

// What both handlers are given, once it has been checked.
struct Call {
  const Kernel* kernel;
  int64_t rows, columns, blocks;
  uint8_t* records;
  Product product;
};

// weights [(layers,) blocks, bytes of a block], layer a scalar, records u8 [rows, bytes of a record].
ffi::Error prepare(const ffi::AnyBuffer::Dimensions x, const ffi::AnyBuffer::Dimensions y, Weights& weights,
                   Layer& layer, ffi::ResultBuffer<ffi::U8>& records, std::string_view isa, Call& call) {
  const auto w = weights.dimensions();
  const auto r = records->dimensions();
  if (x.size() != 2 || y.size() != 2 || (w.size() != 2 && w.size() != 3) || r.size() != 2)
    return refuse("an operand has the wrong rank");
  call.kernel = kernel_named(isa);
  if (call.kernel == nullptr) return refuse_isa(isa);
  const int64_t layers = w.size() == 3 ? w[0] : 1, index = layer.typed_data()[0];
  if (index < 0 || index >= layers) return refuse("layer " + std::to_string(index) + " is not in the stack");
  call.rows = x[0], call.columns = x[1], call.blocks = w[w.size() - 2];
  const int64_t block_bytes = w[w.size() - 1];
  const int64_t lines = (x[1] + kColumnStep - 1) / kColumnStep * (kColumnStep / kLineColumns);
  if (y[0] != x[0] || block_bytes != lines * kLineBytes || (y[1] + kBlockRows - 1) / kBlockRows != call.blocks)
    return refuse("the weights' layout does not fit the operands");
  if (r[0] != x[0] || r[1] % kRecordHeader != 0 || r[1] < kRecordHeader + lines * kLineColumns)
    return refuse("the scratch does not fit the operands");
  call.records = records->typed_data();
  call.product.weights = weights.typed_data() + index * call.blocks * block_bytes;
  call.product.lines = lines;
  call.product.records = call.records;
  call.product.record_bytes = r[1];
  call.product.out = y[1];
  return ffi::Error::Success();
}

int64_t round_up(int64_t count, int64_t step) { return (count + step - 1) / step * step; }

// Rows that a task multiplies with one block: about as many for each, and no more than the kernel asks for.
int64_t rows_per_task(const Kernel& kernel, int64_t rows, int64_t record_bytes) {
  const int64_t most = std::max(kernel.task_bytes / record_bytes / kernel.tile_rows, int64_t{1}) * kernel.tile_rows;
  const int64_t parts = (rows + most - 1) / most;
  return round_up((rows + parts - 1) / parts, kernel.tile_rows);
}

// fill(row, record) makes a row's record; then every block is multiplied with every row.
template <typename Fill>
void run(ffi::ThreadPool& pool, const Call& call, const Fill& fill) {
  const int64_t row_grain = kQuantizeGrain / std::max<int64_t>(call.columns, 1) + 1;
  parallel_for(pool, call.rows, row_grain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) fill(row, call.records + row * call.product.record_bytes);
  });
  // Tasks of the same rows follow each other, so that a thread finds them in its cache.
  const int64_t each = rows_per_task(*call.kernel, call.rows, call.product.record_bytes);
  const int64_t tasks = (call.rows + each - 1) / each * call.blocks;
  parallel_for(pool, tasks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t first = task / call.blocks * each;
      call.kernel->multiply(call.product, task % call.blocks, first, std::min(first + each, call.rows));
    }
  });
}

ffi::Error bitlinear(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> x, Weights weights, ffi::Buffer<ffi::F32> scale,
                     Layer layer, std::string_view isa, ffi::ResultBuffer<ffi::F32> y,
                     ffi::ResultBuffer<ffi::U8> records) {
  Call call{};
  if (ffi::Error error = prepare(x.dimensions(), y->dimensions(), weights, layer, records, isa, call); error.failure())
    return error;
  call.product.scale = scale.typed_data()[0];
  call.product.y = y->typed_data();
  run(pool, call, [&](int64_t row, uint8_t* record) {
    call.kernel->quantize(x.typed_data() + row * call.columns, call.columns, record, call.product.record_bytes);
  });
  return ffi::Error::Success();
}

ffi::Error ternary_matmul(ffi::ThreadPool pool, ffi::Buffer<ffi::S8> codes, Weights weights, Layer layer,
                          std::string_view isa, ffi::ResultBuffer<ffi::S32> sums, ffi::ResultBuffer<ffi::U8> records) {
  Call call{};
  if (ffi::Error error = prepare(codes.dimensions(), sums->dimensions(), weights, layer, records, isa, call);
      error.failure())
    return error;
  call.product.sums = sums->typed_data();
  run(pool, call, [&](int64_t row, uint8_t* record) {
    call.kernel->copy(codes.typed_data() + row * call.columns, call.columns, record, call.product.record_bytes);
  });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace bitnet

// A process whose runtime knows only an older API must not register what was built against this one.
extern "C" BITNET_EXPORT int bitnet_ffi_api_major() { return XLA_FFI_API_MAJOR; }
extern "C" BITNET_EXPORT int bitnet_ffi_api_minor() { return XLA_FFI_API_MINOR; }

// Names of the kernels that run here, best first, with commas between.
extern "C" BITNET_EXPORT const char* bitnet_isas() {
  static const std::string names = [] {
    std::string joined;
    for (const bitnet::Kernel* kernel : bitnet::kernels_here()) joined += (joined.empty() ? "" : ",") + std::string(kernel->name);
    return joined;
  }();
  return names.c_str();
}

extern "C" BITNET_EXPORT XLA_FFI_Error* bitnet_bitlinear(XLA_FFI_CallFrame* frame);
extern "C" BITNET_EXPORT XLA_FFI_Error* bitnet_ternary_matmul(XLA_FFI_CallFrame* frame);

XLA_FFI_DEFINE_HANDLER_SYMBOL(bitnet_bitlinear, bitnet::bitlinear,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<bitnet::Weights>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<bitnet::Layer>()
                                  .Attr<std::string_view>("isa")
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::U8>>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(bitnet_ternary_matmul, bitnet::ternary_matmul,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::Buffer<ffi::S8>>()
                                  .Arg<bitnet::Weights>()
                                  .Arg<bitnet::Layer>()
                                  .Attr<std::string_view>("isa")
                                  .Ret<ffi::Buffer<ffi::S32>>()
                                  .Ret<ffi::Buffer<ffi::U8>>());
