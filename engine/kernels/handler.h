// What XLA's handlers share: how they refuse a call.
#pragma once

#include <string>
#include <string_view>

#include "xla/ffi/api/ffi.h"

namespace bitnet {

inline xla::ffi::Error refuse(const std::string& why) {
  return xla::ffi::Error(xla::ffi::ErrorCode::kInvalidArgument, "bitnet: " + why);
}

inline xla::ffi::Error refuse_isa(std::string_view isa) {
  return refuse("no kernel '" + std::string(isa) + "' runs on this machine");
}

}  // namespace bitnet
