// Members of Vector that AVX2 and AVX-VNNI share; included into each one's struct (see layout.h for why not linked).
using Register = __m256i;
using Sums = __m256i;
using Floats = __m256;
static constexpr int kLanes = 8;

static Register load(const uint8_t* at) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)); }
template <int f>
static Register field(Register w) { return _mm256_and_si256(w, _mm256_set1_epi8(static_cast<char>(3 << 2 * f))); }
static Register broadcast(const uint8_t* four) {
  int32_t codes;
  std::memcpy(&codes, four, sizeof codes);
  return _mm256_set1_epi32(codes);
}
static Floats widen(const uint16_t* halves) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(halves)));
}
static Sums zero() { return _mm256_setzero_si256(); }
template <int f>
static void add_into(int32_t* to, Sums sums) {
  __m256i* at = reinterpret_cast<__m256i*>(to);
  _mm256_storeu_si256(at, _mm256_add_epi32(_mm256_loadu_si256(at), _mm256_srai_epi32(sums, 2 * f)));
}
