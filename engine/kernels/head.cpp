// A model's head for one row of hidden states: every logit is one dot product with a row of the table.
#include <cstdint>
#include <string_view>

#include "cpu.h"
#include "export.h"
#include "handler.h"
#include "layout.h"
#include "parallel.h"

namespace ffi = xla::ffi;

namespace bitnet {
namespace {

constexpr int64_t kRowsPerPiece = 16;

// hidden [columns], table [vocab, columns] in any of three types, logits [vocab].
ffi::Error lm_head(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> hidden, ffi::AnyBuffer table, std::string_view isa,
                   ffi::ResultBuffer<ffi::F32> logits) {
  const Kernel* const kernel = kernel_named(isa);
  if (kernel == nullptr) return refuse_isa(isa);
  const auto shape = table.dimensions();
  if (shape.size() != 2 || static_cast<int64_t>(hidden.element_count()) != shape[1] ||
      static_cast<int64_t>(logits->element_count()) != shape[0])
    return refuse("the table does not fit the head's operands");
  Head head{hidden.typed_data(), table.untyped_data(), FloatType::kFloat32, shape[1], logits->typed_data()};
  switch (table.element_type()) {
    case ffi::F32: break;
    case ffi::F16: head.type = FloatType::kFloat16; break;
    case ffi::BF16: head.type = FloatType::kBfloat16; break;
    default: return refuse("the table is neither float32, float16 nor bfloat16");
  }
  parallel_for(pool, shape[0], kRowsPerPiece, [&](int64_t begin, int64_t end) { kernel->head(head, begin, end); });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace bitnet

extern "C" BITNET_EXPORT XLA_FFI_Error* bitnet_lm_head(XLA_FFI_CallFrame* frame);

XLA_FFI_DEFINE_HANDLER_SYMBOL(bitnet_lm_head, bitnet::lm_head,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Attr<std::string_view>("isa")
                                  .Ret<ffi::Buffer<ffi::F32>>());
