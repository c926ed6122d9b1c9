// The kernels that the machine at hand can run.
#pragma once

#include <string_view>
#include <vector>

#include "layout.h"

namespace bitnet {

// Best first; never empty.
const std::vector<const Kernel*>& kernels_here();

// The kernel of that name, or nullptr where there is none or it does not run here.
const Kernel* kernel_named(std::string_view name);

}  // namespace bitnet
