// The handlers that XLA calls, and what Python asks the library before it registers them.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

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
constexpr size_t kOperands = 3;  // of a matrix

using Weights = ffi::Buffer<ffi::U8>;
using Layer = ffi::Buffer<ffi::S32>;

int64_t round_up(int64_t count, int64_t step) { return (count + step - 1) / step * step; }

// One matrix of a call, and how many blocks it has.
struct Part {
  Product product;
  int64_t blocks;
};

// What a handler is given, once it has been checked: rows, and the matrices that all of them are multiplied with.
struct Call {
  const Kernel* kernel;
  int64_t rows, columns;
  uint8_t* records;
  int64_t record_bytes;
  std::vector<Part> parts;
};

// records u8 [rows, bytes of a record].
ffi::Error prepare(const ffi::AnyBuffer::Dimensions x, ffi::ResultBuffer<ffi::U8>& records, std::string_view isa,
                   Call& call) {
  const auto r = records->dimensions();
  if (x.size() != 2 || r.size() != 2) return refuse("an operand has the wrong rank");
  call.kernel = kernel_named(isa);
  if (call.kernel == nullptr) return refuse_isa(isa);
  call.rows = x[0], call.columns = x[1];
  if (r[0] != x[0] || r[1] % kRecordHeader != 0 || r[1] < kRecordHeader + round_up(x[1], kColumnStep))
    return refuse("the scratch does not fit the operands");
  call.records = records->typed_data();
  call.record_bytes = r[1];
  return ffi::Error::Success();
}

// weights [(layers,) blocks, bytes of a block], layer a scalar; the caller says where the results go.
ffi::Error add(Call& call, const Weights& weights, const Layer& layer, const ffi::AnyBuffer::Dimensions y,
               Product product) {
  const auto w = weights.dimensions();
  if (y.size() != 2 || (w.size() != 2 && w.size() != 3)) return refuse("an operand has the wrong rank");
  const int64_t layers = w.size() == 3 ? w[0] : 1, index = layer.typed_data()[0];
  if (index < 0 || index >= layers) return refuse("layer " + std::to_string(index) + " is not in the stack");
  const int64_t blocks = w[w.size() - 2], block_bytes = w[w.size() - 1];
  const int64_t lines = round_up(call.columns, kColumnStep) / kLineColumns;
  if (y[0] != call.rows || block_bytes != lines * kLineBytes || (y[1] + kBlockRows - 1) / kBlockRows != blocks)
    return refuse("the weights' layout does not fit the operands");
  product.weights = weights.typed_data() + index * blocks * block_bytes;
  product.lines = lines;
  product.records = call.records;
  product.record_bytes = call.record_bytes;
  product.out = y[1];
  call.parts.push_back({product, blocks});
  return ffi::Error::Success();
}

// Rows that a task multiplies with one block: about as many for each, and no more than the kernel asks for.
int64_t rows_per_task(const Kernel& kernel, int64_t rows, int64_t record_bytes) {
  const int64_t most = std::max(kernel.task_bytes / record_bytes / kernel.tile_rows, int64_t{1}) * kernel.tile_rows;
  const int64_t parts = (rows + most - 1) / most;
  return round_up((rows + parts - 1) / parts, kernel.tile_rows);
}

// Multiplies rows [begin, end) with one of the call's blocks, which are counted through all of its matrices.
void multiply(const Call& call, int64_t block, int64_t begin, int64_t end) {
  const Part* part = call.parts.data();
  for (; block >= part->blocks; ++part) block -= part->blocks;
  call.kernel->multiply(part->product, block, begin, end);
}

// fill(row, record) makes a row's record; then every block is multiplied with every row.
template <typename Fill>
void run(ffi::ThreadPool& pool, const Call& call, const Fill& fill) {
  const int64_t row_grain = kQuantizeGrain / std::max<int64_t>(call.columns, 1) + 1;
  parallel_for(pool, call.rows, row_grain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) fill(row, call.records + row * call.record_bytes);
  });
  // Tasks of the same rows follow each other, so that a thread finds them in its cache.
  int64_t blocks = 0;
  for (const Part& part : call.parts) blocks += part.blocks;
  const int64_t each = rows_per_task(*call.kernel, call.rows, call.record_bytes);
  const int64_t tasks = (call.rows + each - 1) / each * blocks;
  parallel_for(pool, tasks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t first = task / blocks * each;
      multiply(call, task % blocks, first, std::min(first + each, call.rows));
    }
  });
}

// x f32 [rows, columns]; then codes, a scale and a layer of each matrix. Results are the records, then the products.
ffi::Error bitlinears(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> x, ffi::RemainingArgs matrices, std::string_view isa,
                      ffi::ResultBuffer<ffi::U8> records, ffi::RemainingRets products) {
  Call call{};
  if (ffi::Error error = prepare(x.dimensions(), records, isa, call); error.failure()) return error;
  if (matrices.size() != kOperands * products.size()) return refuse("a product has no matrix, or none of its own");
  for (size_t i = 0; i < products.size(); ++i) {
    const auto weights = matrices.get<Weights>(kOperands * i);
    const auto scale = matrices.get<ffi::Buffer<ffi::F32>>(kOperands * i + 1);
    const auto layer = matrices.get<Layer>(kOperands * i + 2);
    auto y = products.get<ffi::Buffer<ffi::F32>>(i);
    if (!weights || !scale || !layer || !y) return refuse("an operand has the wrong type");
    Product product{};
    product.scale = scale->typed_data()[0];
    product.y = (*y)->typed_data();
    if (ffi::Error error = add(call, *weights, *layer, (*y)->dimensions(), product); error.failure()) return error;
  }
  run(pool, call, [&](int64_t row, uint8_t* record) {
    call.kernel->quantize(x.typed_data() + row * call.columns, call.columns, record, call.record_bytes);
  });
  return ffi::Error::Success();
}

ffi::Error ternary_matmul(ffi::ThreadPool pool, ffi::Buffer<ffi::S8> codes, Weights weights, Layer layer,
                          std::string_view isa, ffi::ResultBuffer<ffi::S32> sums, ffi::ResultBuffer<ffi::U8> records) {
  Call call{};
  if (ffi::Error error = prepare(codes.dimensions(), records, isa, call); error.failure()) return error;
  Product product{};
  product.sums = sums->typed_data();
  if (ffi::Error error = add(call, weights, layer, sums->dimensions(), product); error.failure()) return error;
  run(pool, call, [&](int64_t row, uint8_t* record) {
    call.kernel->copy(codes.typed_data() + row * call.columns, call.columns, record, call.record_bytes);
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

extern "C" BITNET_EXPORT XLA_FFI_Error* bitnet_bitlinears(XLA_FFI_CallFrame* frame);
extern "C" BITNET_EXPORT XLA_FFI_Error* bitnet_ternary_matmul(XLA_FFI_CallFrame* frame);

XLA_FFI_DEFINE_HANDLER_SYMBOL(bitnet_bitlinears, bitnet::bitlinears,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .RemainingArgs()
                                  .Attr<std::string_view>("isa")
                                  .Ret<ffi::Buffer<ffi::U8>>()
                                  .RemainingRets());

XLA_FFI_DEFINE_HANDLER_SYMBOL(bitnet_ternary_matmul, bitnet::ternary_matmul,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::Buffer<ffi::S8>>()
                                  .Arg<bitnet::Weights>()
                                  .Arg<bitnet::Layer>()
                                  .Attr<std::string_view>("isa")
                                  .Ret<ffi::Buffer<ffi::S32>>()
                                  .Ret<ffi::Buffer<ffi::U8>>());
