// The machine's own limits, for `bitnet_engine.bench`: how fast memory is read, how fast each unit adds products of
// bytes, how fast the clock runs. Plain C functions of one thread; Python calls them on as many as it measures.
//
// One file, and each function compiled for its own instruction set by an attribute: a limit is a few instructions in a
// loop, and none of it may reach a machine that lacks them.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cpu.h"
#include "export.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace bitnet {
namespace {

constexpr int64_t kLine = 64;
constexpr int64_t kStep = 4 * kLine;

// Reads `bytes`, a multiple of kStep, once, asking for the line `ahead` bytes further on; returns their exclusive or,
// so that no read can be left out.
using Read = uint64_t (*)(const uint8_t* from, int64_t bytes, int64_t ahead);

uint64_t read_portable(const uint8_t* from, int64_t bytes, int64_t ahead) {
  uint64_t seen[8] = {};
  for (const uint8_t* end = from + bytes; from < end; from += kLine) {
    __builtin_prefetch(from + ahead, 0, 2);
    uint64_t words[8];
    __builtin_memcpy(words, from, sizeof words);
    for (int i = 0; i < 8; ++i) seen[i] ^= words[i];
  }
  for (int i = 1; i < 8; ++i) seen[0] ^= seen[i];
  return seen[0];
}

#if defined(__x86_64__)
__attribute__((target("avx512f"))) uint64_t read_avx512(const uint8_t* from, int64_t bytes, int64_t ahead) {
  __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
  for (const uint8_t* end = from + bytes; from < end; from += kStep) {
    for (int i = 0; i < 4; ++i) __builtin_prefetch(from + ahead + i * kLine, 0, 2);
    a = _mm512_xor_si512(a, _mm512_loadu_si512(from));
    b = _mm512_xor_si512(b, _mm512_loadu_si512(from + kLine));
    c = _mm512_xor_si512(c, _mm512_loadu_si512(from + 2 * kLine));
    d = _mm512_xor_si512(d, _mm512_loadu_si512(from + 3 * kLine));
  }
  alignas(64) uint64_t seen[8];
  _mm512_store_si512(seen, _mm512_xor_si512(_mm512_xor_si512(a, b), _mm512_xor_si512(c, d)));
  for (int i = 1; i < 8; ++i) seen[0] ^= seen[i];
  return seen[0];
}

__attribute__((target("avx2"))) uint64_t read_avx2(const uint8_t* from, int64_t bytes, int64_t ahead) {
  __m256i seen[8];
  for (__m256i& one : seen) one = _mm256_setzero_si256();
  for (const uint8_t* end = from + bytes; from < end; from += kStep) {
    for (int i = 0; i < 4; ++i) __builtin_prefetch(from + ahead + i * kLine, 0, 2);
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i)
      seen[i] = _mm256_xor_si256(seen[i], _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + 32 * i)));
  }
  for (int i = 1; i < 8; ++i) seen[0] = _mm256_xor_si256(seen[0], seen[i]);
  alignas(32) uint64_t words[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(words), seen[0]);
  return words[0] ^ words[1] ^ words[2] ^ words[3];
}
#endif

Read reader() {
#if defined(__x86_64__)
  if (kernel_named("avx512-vnni") != nullptr) return read_avx512;
  if (kernel_named("avx2") != nullptr) return read_avx2;
#endif
  return read_portable;
}

// `rounds` of the unit's instruction on enough independent sums to keep it busy; returns the operations done, a
// multiplication and an addition being two.
using Dot = int64_t (*)(int64_t rounds);

struct Unit {
  const char* name;
  Dot dot;
};

// Keeps a result that nobody reads, and hides from the compiler that its operands never change.
#define KEEP(constraint, value) __asm__ volatile("" : "+" constraint(value))

#if defined(__x86_64__)
constexpr int kSums = 12;

__attribute__((target("avx512f,avx512bw,avx512vnni"))) int64_t dot_avx512_vnni(int64_t rounds) {
  __m512i sums[kSums], w = _mm512_set1_epi8(2), x = _mm512_set1_epi8(3);
  for (__m512i& sum : sums) sum = _mm512_setzero_si512();
  for (int64_t i = 0; i < rounds; ++i) {
    KEEP("v", w);
#pragma GCC unroll 12
    for (int j = 0; j < kSums; ++j) sums[j] = _mm512_dpbusd_epi32(sums[j], w, x);
  }
#pragma GCC unroll 12
  for (int j = 0; j < kSums; ++j) KEEP("v", sums[j]);
  return rounds * kSums * 64 * 2;
}

__attribute__((target("avx2,avxvnni"))) int64_t dot_avx_vnni(int64_t rounds) {
  __m256i sums[kSums], w = _mm256_set1_epi8(2), x = _mm256_set1_epi8(3);
  for (__m256i& sum : sums) sum = _mm256_setzero_si256();
  for (int64_t i = 0; i < rounds; ++i) {
    KEEP("x", w);
#pragma GCC unroll 12
    for (int j = 0; j < kSums; ++j) sums[j] = _mm256_dpbusd_avx_epi32(sums[j], w, x);
  }
#pragma GCC unroll 12
  for (int j = 0; j < kSums; ++j) KEEP("x", sums[j]);
  return rounds * kSums * 32 * 2;
}

__attribute__((target("avx2"))) int64_t dot_avx2(int64_t rounds) {
  __m256i sums[kSums], w = _mm256_set1_epi8(2), x = _mm256_set1_epi8(3);
  const __m256i ones = _mm256_set1_epi16(1);
  for (__m256i& sum : sums) sum = _mm256_setzero_si256();
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < kSums; ++j) {
      // For each sum anew: the pairs are the same, and would be multiplied once.
      KEEP("x", w);
      sums[j] = _mm256_add_epi32(sums[j], _mm256_madd_epi16(_mm256_maddubs_epi16(w, x), ones));
    }
  }
#pragma GCC unroll 12
  for (int j = 0; j < kSums; ++j) KEEP("x", sums[j]);
  return rounds * kSums * 32 * 2;
}

// 16 rows of 64 bytes in each of the eight tiles.
struct alignas(64) TileShapes {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

__attribute__((target("amx-tile,amx-int8"))) int64_t dot_amx_int8(int64_t rounds) {
  const TileShapes shapes;
  // GCC 12's _tile_loadconfig says that it reads 8 bytes, and the stores of the other 56 are left out.
  __asm__ volatile("" : : "r"(&shapes) : "memory");
  _tile_loadconfig(&shapes);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
  for (int64_t i = 0; i < rounds; ++i) {
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 4, 7);
    _tile_dpbusd(2, 5, 6);
    _tile_dpbusd(3, 5, 7);
  }
  _tile_release();
  return rounds * 4 * 16 * 16 * 64 * 2;
}
#elif defined(__aarch64__)
__attribute__((target("arch=armv8.2-a+dotprod"))) int64_t dot_neon(int64_t rounds) {
  constexpr int kSums = 16;
  int32x4_t sums[kSums];
  int8x16_t w = vdupq_n_s8(2), x = vdupq_n_s8(3);
  for (int32x4_t& sum : sums) sum = vdupq_n_s32(0);
  for (int64_t i = 0; i < rounds; ++i) {
    KEEP("w", w);
#pragma GCC unroll 16
    for (int j = 0; j < kSums; ++j) sums[j] = vdotq_s32(sums[j], w, x);
  }
#pragma GCC unroll 16
  for (int j = 0; j < kSums; ++j) KEEP("w", sums[j]);
  return rounds * kSums * 16 * 2;
}
#endif

// The units of this machine, best first.
const std::vector<Unit>& units_here() {
  static const std::vector<Unit> found = [] {
    std::vector<Unit> units;
#if defined(__x86_64__)
    if (kernel_named("amx-int8") != nullptr) units.push_back({"amx-int8", dot_amx_int8});
    if (kernel_named("avx512-vnni") != nullptr) units.push_back({"avx512-vnni", dot_avx512_vnni});
    if (kernel_named("avx-vnni") != nullptr) units.push_back({"avx-vnni", dot_avx_vnni});
    if (kernel_named("avx2") != nullptr) units.push_back({"avx2", dot_avx2});
#elif defined(__aarch64__)
    if (kernel_named("neon") != nullptr) units.push_back({"neon", dot_neon});
#endif
    return units;
  }();
  return found;
}

}  // namespace
}  // namespace bitnet

// Reads `bytes` (a multiple of 256) `passes` times.
extern "C" BITNET_EXPORT uint64_t bitnet_probe_read(const uint8_t* from, int64_t bytes, int64_t ahead, int64_t passes) {
  static const bitnet::Read read = bitnet::reader();
  uint64_t seen = 0;
  for (int64_t pass = 0; pass < passes; ++pass) seen ^= read(from, bytes, ahead);
  return seen;
}

// Names of the units that bitnet_probe_dot measures here, best first, with commas between; empty where there is none.
extern "C" BITNET_EXPORT const char* bitnet_probe_units() {
  static const std::string names = [] {
    std::string joined;
    for (const bitnet::Unit& unit : bitnet::units_here()) joined += (joined.empty() ? "" : ",") + std::string(unit.name);
    return joined;
  }();
  return names.c_str();
}

// Returns the operations done, 0 where the machine has no such unit.
extern "C" BITNET_EXPORT int64_t bitnet_probe_dot(const char* name, int64_t rounds) {
  for (const bitnet::Unit& unit : bitnet::units_here())
    if (std::string_view(name) == unit.name) return unit.dot(rounds);
  return 0;
}

// A chain of rotations, each waiting for the one before: as many cycles, whatever else the processor can do at once.
// Not additions of a constant, several of which new processors do in one cycle.
extern "C" BITNET_EXPORT uint64_t bitnet_probe_clock(int64_t rotations) {
  uint64_t bits = 1;
  for (int64_t i = 0; i < rotations; i += 8) {
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) {
      bits = bits << 13 | bits >> 51;
      __asm__ volatile("" : "+r"(bits));
    }
  }
  return bits;
}
