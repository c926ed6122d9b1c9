// Members of Vector that AVX512-VNNI and AMX share; included into each one's struct (see layout.h for why not linked).
using Register = __m512i;
using Sums = __m512i;
using Floats = __m512;
static constexpr int kLanes = 16;

static Register load(const uint8_t* at) { return _mm512_loadu_si512(at); }
template <int f>
static Register field(Register w) { return _mm512_and_si512(w, _mm512_set1_epi8(static_cast<char>(3 << 2 * f))); }
static Register broadcast(const uint8_t* four) {
  int32_t codes;
  std::memcpy(&codes, four, sizeof codes);
  return _mm512_set1_epi32(codes);
}
static Floats widen(const uint16_t* halves) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(halves)));
}
static Sums zero() { return _mm512_setzero_si512(); }
static Sums dot(Sums sums, Register w, Register x) { return _mm512_dpbusd_epi32(sums, w, x); }
template <int f>
static void add_into(int32_t* to, Sums sums) {
  _mm512_storeu_si512(to, _mm512_add_epi32(_mm512_loadu_si512(to), _mm512_srai_epi32(sums, 2 * f)));
}
