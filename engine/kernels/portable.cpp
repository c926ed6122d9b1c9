// Plain C++ for any machine: a line is an array of 64 bytes, and the compiler vectorises what it can.
#include <cstring>
#include <utility>

#include "layout.h"

namespace bitnet {
namespace {

struct Vector {
  struct Register {
    uint8_t bytes[kLineBytes];
  };
  struct Sums {
    int32_t lanes[16];
  };
  typedef float Floats __attribute__((vector_size(16)));
  static constexpr int kLanes = 16;

  static Register load(const uint8_t* at) {
    Register w;
    std::memcpy(w.bytes, at, sizeof w.bytes);
    return w;
  }
  template <int f>
  static Register field(const Register& w) {
    Register codes;
    for (int i = 0; i < kLineBytes; ++i) codes.bytes[i] = w.bytes[i] >> 2 * f & 3;
    return codes;
  }
  static Register broadcast(const uint8_t* four) {
    Register x;
    for (int i = 0; i < kLineBytes; ++i) x.bytes[i] = four[i % 4];
    return x;
  }
  // By integers: exponents move from 15 to 127 as their bias, and a subnormal is its digits times 2^-24.
  static Floats widen(const uint16_t* halves) {
    typedef uint16_t Shorts __attribute__((vector_size(8)));
    typedef int32_t Words __attribute__((vector_size(16)));
    Shorts shorts;
    std::memcpy(&shorts, halves, sizeof shorts);
    const Words words = __builtin_convertvector(shorts, Words), rest = words & 0x7fff;
    const Floats small = __builtin_convertvector(rest, Floats) * 0x1p-24f;
    const Words large = (rest << 13) + (rest < 0x7c00 ? Words{} + (112 << 23) : Words{} + (224 << 23));
    Words bits;
    std::memcpy(&bits, &small, sizeof bits);
    bits = (rest < 0x0400 ? bits : large) | (words & 0x8000) << 16;
    Floats x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
  }
  static Sums zero() { return {}; }
  static Sums dot(const Sums& sums, const Register& w, const Register& x) {
    Sums next;
    for (int i = 0; i < 16; ++i) {
      int32_t total = sums.lanes[i];
      for (int j = 0; j < 4; ++j) total += w.bytes[4 * i + j] * static_cast<int8_t>(x.bytes[4 * i + j]);
      next.lanes[i] = total;
    }
    return next;
  }
  template <int f>
  static void add_into(int32_t* to, const Sums& sums) {
    for (int i = 0; i < 16; ++i) to[i] += sums.lanes[i];
  }
};

constexpr int kTileRows = 1;
constexpr int kGemvVectors = 1;
constexpr int kMixVectors = 2;
constexpr int kScoreKeys = 2;
#include "tile.h"
#include "floats.h"
#include "prompt.h"

}  // namespace

const Kernel kPortable = {"portable", kTileRows, kTaskBytes, quantize, copy, multiply,
                          attend, merge, attend_tile, multiply_table};

}  // namespace bitnet
