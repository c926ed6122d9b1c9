// NEON with the dot product extension: a line is four registers; 4 rows · 4 fields are 16 of the 32 registers.
//
// Its dot product is signed in both operands, so field 3 is shifted down: masked in place, code 2 would be −128.
#include <arm_neon.h>

#include <cstring>
#include <utility>

#include "layout.h"

namespace bitnet {
namespace {

struct Vector {
  using Register = int8x16_t;
  using Sums = int32x4_t;
  using Floats = float32x4_t;
  static constexpr int kLanes = 4;

  static Register load(const uint8_t* at) { return vreinterpretq_s8_u8(vld1q_u8(at)); }
  template <int f>
  static Register field(Register w) {
    if constexpr (f == 3)
      return vreinterpretq_s8_u8(vshrq_n_u8(vreinterpretq_u8_s8(w), 6));
    else
      return vandq_s8(w, vdupq_n_s8(3 << 2 * f));
  }
  static Register broadcast(const uint8_t* four) {
    int32_t codes;
    std::memcpy(&codes, four, sizeof codes);
    return vreinterpretq_s8_s32(vdupq_n_s32(codes));
  }
  static Floats widen(const uint16_t* halves) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(halves))); }
  static Sums zero() { return vdupq_n_s32(0); }
  static Sums dot(Sums sums, Register w, Register x) { return vdotq_s32(sums, w, x); }
  template <int f>
  static void add_into(int32_t* to, Sums sums) {
    if constexpr (f == 1 || f == 2) sums = vshrq_n_s32(sums, 2 * f);
    vst1q_s32(to, vaddq_s32(vld1q_s32(to), sums));
  }
};

constexpr int kTileRows = 4;
constexpr int kGemvVectors = 4;
constexpr int kMixVectors = 4;
constexpr int kScoreKeys = 4;
#include "tile.h"
#include "floats.h"
#include "prompt.h"

}  // namespace

const Kernel kNeon = {"neon", kTileRows, kTaskBytes, quantize, copy, multiply,
                      attend, merge, attend_tile, multiply_table};

}  // namespace bitnet
