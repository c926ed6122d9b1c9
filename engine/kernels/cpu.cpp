// cpuid by ourselves: __builtin_cpu_supports is false under some toolchains, and knows AVX-VNNI only in new ones.
#include "cpu.h"

#include <cstdint>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif
#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace bitnet {
namespace {

#if defined(__x86_64__)
constexpr uint64_t kAvxState = 0x6;      // XMM and YMM
constexpr uint64_t kAvx512State = 0xe6;  // and opmask, and both halves of ZMM
constexpr uint64_t kTileState = 0x60000;  // the tiles' shapes and data

struct Registers {
  uint32_t a = 0, b = 0, c = 0, d = 0;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf) {
  Registers r;
  __get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d);
  return r;
}

bool bit(uint32_t value, int position) { return value >> position & 1; }

// A processor's registers are of use only where the operating system saves them.
bool saved(uint64_t state) {
  if (!bit(cpuid(1, 0).c, 27)) return false;  // OSXSAVE
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return ((static_cast<uint64_t>(high) << 32 | low) & state) == state;
}

bool has_avx2() { return saved(kAvxState) && bit(cpuid(7, 0).b, 5) && bit(cpuid(1, 0).c, 29); }  // and F16C

bool has_avx_vnni() { return has_avx2() && bit(cpuid(7, 1).a, 4); }

bool has_avx512_vnni() {
  const Registers r = cpuid(7, 0);
  const bool f_and_bw = bit(r.b, 16) && bit(r.b, 30);
  return saved(kAvx512State) && f_and_bw && bit(r.c, 11);
}

// The system saves tiles, 8 KB a thread, for processes that ask for it: Documentation/arch/x86/xstate.rst of Linux.
bool has_amx_int8() {
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  const uint32_t d = cpuid(7, 0).d;
  return has_avx512_vnni() && saved(kTileState) && bit(d, 24) && bit(d, 25) &&
         syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
#elif defined(__aarch64__) && defined(__linux__)
bool has_dot_product() { return getauxval(AT_HWCAP) & HWCAP_ASIMDDP; }
#elif defined(__aarch64__)
bool has_dot_product() { return true; }  // all of Apple's processors since the M1
#endif

}  // namespace

const std::vector<const Kernel*>& kernels_here() {
  static const std::vector<const Kernel*> found = [] {
    std::vector<const Kernel*> kernels;
#if defined(__x86_64__)
    if (has_amx_int8()) kernels.push_back(&kAmxInt8);
    if (has_avx512_vnni()) kernels.push_back(&kAvx512Vnni);
    if (has_avx_vnni()) kernels.push_back(&kAvxVnni);
    if (has_avx2()) kernels.push_back(&kAvx2);
#elif defined(__aarch64__)
    if (has_dot_product()) kernels.push_back(&kNeon);
#endif
    kernels.push_back(&kPortable);
    return kernels;
  }();
  return found;
}

const Kernel* kernel_named(std::string_view name) {
  for (const Kernel* kernel : kernels_here())
    if (name == kernel->name) return kernel;
  return nullptr;
}

}  // namespace bitnet
