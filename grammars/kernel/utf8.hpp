// UTF-8 of code points and of ranges of them.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string_view>

namespace constrain::utf8 {

// Writes the encoding of `c` to out[0 .. 4); returns its length.
inline int encode(std::uint32_t c, unsigned char* out) {
  if (c < 0x80) return out[0] = static_cast<unsigned char>(c), 1;
  if (c < 0x800) return out[0] = 0xC0 | (c >> 6), out[1] = 0x80 | (c & 63), 2;
  if (c < 0x10000) return out[0] = 0xE0 | (c >> 12), out[1] = 0x80 | ((c >> 6) & 63), out[2] = 0x80 | (c & 63), 3;
  return out[0] = 0xF0 | (c >> 18), out[1] = 0x80 | ((c >> 12) & 63), out[2] = 0x80 | ((c >> 6) & 63), out[3] = 0x80 | (c & 63), 4;
}

// Does a byte begin a character, and how many characters begin in `s`?
inline bool begins(char b) { return (static_cast<unsigned char>(b) & 0xC0) != 0x80; }
inline std::int32_t characters(std::string_view s) { return static_cast<std::int32_t>(std::count_if(s.begin(), s.end(), begins)); }

// Is `s` the encoding of code points, surrogates excepted? Shortest forms only.
inline bool valid(std::string_view s) {
  for (std::size_t i = 0; i < s.size();) {
    const unsigned b = static_cast<unsigned char>(s[i]);
    const std::size_t n = b < 0x80 ? 1 : b >= 0xC2 && b < 0xE0 ? 2 : b >= 0xE0 && b < 0xF0 ? 3 : b >= 0xF0 && b < 0xF5 ? 4 : 0;
    if (!n || i + n > s.size()) return false;
    std::uint32_t c = n == 1 ? b : b & (0x7Fu >> n);
    for (std::size_t k = 1; k < n; ++k) {
      const unsigned more = static_cast<unsigned char>(s[i + k]);
      if ((more & 0xC0) != 0x80) return false;
      c = c << 6 | (more & 63);
    }
    if ((n == 3 && c < 0x800) || (n == 4 && (c < 0x10000 || c > 0x10FFFF)) || (c >= 0xD800 && c < 0xE000)) return false;
    i += n;
  }
  return true;
}

// Code points of one encoded length n: split until every continuation byte is a full range or both ends agree.
template <class F>
void split(std::uint32_t lo, std::uint32_t hi, int n, F& f) {
  for (int i = 1; i < n; ++i) {
    std::uint32_t m = (1u << (6 * i)) - 1;
    if ((lo & ~m) == (hi & ~m)) continue;
    if ((lo & m) != 0) return split(lo, lo | m, n, f), split((lo | m) + 1, hi, n, f);
    if ((hi & m) != m) return split(lo, (hi & ~m) - 1, n, f), split(hi & ~m, hi, n, f);
  }
  unsigned char first[4], last[4];
  encode(lo, first);
  encode(hi, last);
  f(first, last, n);
}

// Calls f(first, last, n) for boxes of byte strings of length n, byte i from first[i] to last[i], that together are the
// encodings of lo .. hi.
template <class F>
void each_box(std::uint32_t lo, std::uint32_t hi, F f) {
  constexpr std::uint32_t ends[] = {0x7F, 0x7FF, 0xFFFF, 0x10FFFF};
  for (int n = 1; n <= 4 && lo <= hi; ++n) {
    std::uint32_t to = std::min(hi, ends[n - 1]);
    if (lo > to) continue;
    split(lo, to, n, f);
    lo = to + 1;
  }
}

}  // namespace constrain::utf8
