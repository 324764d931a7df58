// A vocabulary as the inside of a JSON string sees it: by the characters that its tokens spell there.
//
// A token that stays inside a string is the text that it decodes to, so that the masks of a grammar over these texts are
// the masks of strings of the grammar. Tokens that leave the string, or stop inside an escape, have no text; but what they
// decode to before that, a *prefix*, is one of few, and stands among the texts under numbers of its own: as it is (may the
// grammar read so far?), and followed by kEnd (may its text end there?).
//
// Tokens with control characters, with escapes that no string can hold or with kEnd itself have no text. Immutable after construction.
// Memory: a second trie, 25 bytes a node and 8 a token. Cost: O(bytes of tokens).
#pragma once
#include <memory>
#include <mutex>

#include "document.hpp"
#include "trie.hpp"

namespace constrain {

class Decoded {
 public:
  static constexpr char kEnd = '\xFF';  // in no text of UTF-8

  // Tokens that stop inside the same escape (`Config::escape`, `Config::code`).
  struct Partial {
    std::uint8_t escape;
    std::uint32_t code;
    std::vector<std::int32_t> tokens;
  };
  struct Prefix {
    std::string text;
    std::int32_t token = 0, ending = 0;  // ids of `text` and of `text` with kEnd; unused for the empty prefix
    std::vector<std::int32_t> quotes;    // nodes of closing quotes after it
    std::vector<Partial> partials;
  };
  std::vector<Prefix> prefixes;
  std::int32_t size = 0;  // tokens and prefixes
  std::unique_ptr<Trie> trie;

  // `reader`: of documents over the vocabulary `outer`, which has `n` tokens.
  Decoded(const Trie& outer, std::int32_t n, Reader& reader) {
    Meter::Apart apart(reader.v.meter_);
    std::map<std::string, Prefix> found;
    found[std::string()];
    for (std::int32_t t = 0; t < n; ++t) {
      add(decode(outer, t, reader, found));
    }
    for (auto& [text, prefix] : found) {
      prefix.text = text;
      if (!text.empty()) {
        prefix.token = add(text);
        prefix.ending = add(text + kEnd);
      }
      std::sort(prefix.quotes.begin(), prefix.quotes.end());
      prefix.quotes.erase(std::unique(prefix.quotes.begin(), prefix.quotes.end()), prefix.quotes.end());
      prefixes.push_back(std::move(prefix));
    }
    offsets_.push_back(static_cast<std::int32_t>(data_.size()));
    size = static_cast<std::int32_t>(flags_.size());
    trie = std::make_unique<Trie>(data_, offsets_.data(), flags_.data(), size);
    trie->spelled = reader.v.re.alphabet();
    put(trie->spelled, static_cast<unsigned char>(kEnd));
    data_ = {}, offsets_ = {}, flags_ = {};
  }
  std::int32_t words() const { return (size + 31) / 32; }
  std::size_t bytes() const { return trie->bytes() + prefixes.size() * 200; }

 private:
  std::int32_t add(const std::string& text) {
    offsets_.push_back(static_cast<std::int32_t>(data_.size()));
    data_ += text;
    flags_.push_back(!text.empty());
    return static_cast<std::int32_t>(flags_.size()) - 1;
  }
  // The text of a token that stays inside; else "", and it goes to its prefix.
  static std::string decode(const Trie& outer, std::int32_t token, Reader& reader, std::map<std::string, Prefix>& found) {
    std::string_view s = outer.text(token);
    bool plain = true;
    for (char c : s) {
      if (c == kEnd) return {};
      plain = plain && static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\';
    }
    if (plain) return std::string(s);
    Config c;
    c.lexer = Lexer::Key;  // keeps what it reads
    c.a = RegexStore::kAll;
    std::int32_t node = -1;
    for (char b : s) {
      node = outer.child(node, static_cast<unsigned char>(b));
      if (c.escape == Reader::kPlain && b == '"') {
        found[c.key].quotes.push_back(node);
        return {};
      }
      if (!reader.step(c, static_cast<unsigned char>(b))) return {};
    }
    if (c.escape == Reader::kPlain) return c.key;
    std::vector<Partial>& partials = found[c.key].partials;
    for (Partial& p : partials)
      if (p.escape == c.escape && p.code == c.code) return p.tokens.push_back(token), std::string();
    partials.push_back({c.escape, c.code, {token}});
    return {};
  }
  std::string data_;
  std::vector<std::int32_t> offsets_;
  std::vector<std::uint8_t> flags_;
};

// A vocabulary and, once it is asked for, what it is inside JSON strings: which is a vocabulary again. Shared by engines.
class Level {
 public:
  const Trie& trie;
  const std::int32_t size;

  Level(const Trie& trie_, std::int32_t size_) : trie(trie_), size(size_) {}
  const Decoded& decoded(Reader& reader) { return *made(reader).decoded; }
  Level& inside(Reader& reader) { return *made(reader).level; }
  std::size_t bytes() {
    std::lock_guard<std::mutex> guard(lock_);
    return decoded_.decoded ? decoded_.decoded->bytes() + decoded_.level->bytes() : 0;
  }

 private:
  struct Made {
    std::unique_ptr<Decoded> decoded;
    std::unique_ptr<Level> level;
  };
  Made& made(Reader& reader) {
    std::lock_guard<std::mutex> guard(lock_);
    if (!decoded_.decoded) {
      auto made = std::make_unique<Decoded>(trie, size, reader);
      decoded_.level = std::make_unique<Level>(*made->trie, made->size);
      decoded_.decoded = std::move(made);
    }
    return decoded_;
  }
  std::mutex lock_;
  Made decoded_;
};

}  // namespace constrain
