// From a packed GRAMMAR node (`grammars/cfg.py`) to `Rules`: operands checked, terminals resolved in their stores.
#pragma once
#include "block_rules.hpp"

namespace constrain {

struct LoadedRules {
  Rules rules;
  std::unordered_map<Id, std::int64_t> documents;     // terminal -> JSON node
  std::unordered_map<Id, std::string> specials;       // terminal -> name of a special token
};

class RuleLoader {
 public:
  RuleLoader(const Loader& loader, RegexStore& re, Meter& meter) : loader_(loader), re_(re), meter_(meter) {}

  // `specials`: ids of special tokens by name. Throws SourceError for what is no grammar, or asks for an unknown token.
  // `inside`: the grammar is of UTF-8 texts inside JSON strings; it marks their end (`Rules::end`) if it has no layout.
  LoadedRules load(Id root, const std::unordered_map<std::string, std::vector<std::int32_t>>& specials, bool inside = false) {
    const PackedNode& n = loader_.node(root);
    x_ = n.operands, left_ = n.count;
    LoadedRules out;
    Rules& g = out.rules;
    g.longest = next() != 0;
    std::int64_t start = next(), terminals = count(), nonterminals = count(), productions = count();
    for (std::int64_t t = 0; t < terminals; ++t) terminal(static_cast<Id>(t), out, specials);
    auto symbol = [&](std::int64_t s) {
      if (s < 0 || s >= terminals + nonterminals) throw SourceError(0, "a rule names a symbol that is not in the grammar");
      return static_cast<Id>(s);
    };
    std::vector<std::pair<Id, std::vector<Id>>> all;
    for (std::int64_t r = 0; r < productions; ++r) {
      std::int64_t h = next();
      if (h < 0 || h >= nonterminals) throw SourceError(0, "a rule of a nonterminal that is not in the grammar");
      Id head = static_cast<Id>(terminals + h);
      std::vector<Id> body;
      for (std::int64_t k = count(); k > 0; --k) body.push_back(symbol(next()));
      all.emplace_back(head, std::move(body));
      meter_.charge();
    }
    for (std::int64_t k = count(); k > 0; --k) {
      Id s = symbol(next());
      g.ignored.push_back(s);
      if (s < terminals && g.terminals[s].kind != TerminalKind::Regex) throw SourceError(0, "a grammar ignores a terminal that is no regex");
      if (s < terminals) g.terminals[s].ignored = true;
    }
    layout(g, static_cast<Id>(terminals));
    spacing(g, terminals);
    Id first = symbol(start);
    if (inside) {
      check_text(g);
      if (!g.layout.on) first = mark_end(g, first, nonterminals++, all);
    }
    g.build(first, static_cast<std::size_t>(nonterminals), all, meter_);
    for (std::size_t t = 0; t < g.terminals.size(); ++t)
      if (g.terminals[t].kind == TerminalKind::Layout && (!g.layout.on || (static_cast<Id>(t) != g.layout.indent && static_cast<Id>(t) != g.layout.dedent)))
        throw SourceError(0, "a terminal that a layout would produce, and none does");
    if (const char* wrong = g.layout.on ? BlockRules(g, re_, meter_).wrong() : nullptr) throw SourceError(1, wrong);
    return out;
  }

 private:
  std::int64_t next() {
    if (!left_) throw SourceError(0, "a grammar of the table is cut short");
    --left_;
    return *x_++;
  }
  std::int64_t count() {
    std::int64_t n = next();
    if (n < 0 || n > INT32_MAX / 4) throw SourceError(0, "a grammar of the table holds a bad count");
    return n;
  }
  void terminal(Id id, LoadedRules& out, const std::unordered_map<std::string, std::vector<std::int32_t>>& specials) {
    Terminal t;
    std::int64_t kind = next(), node = next(), unless = next();
    t.priority = static_cast<std::int32_t>(next());
    if (kind < 0 || kind > 4) throw SourceError(0, "a terminal of an unknown kind");
    t.kind = static_cast<TerminalKind>(kind);
    if (t.kind == TerminalKind::Never && !out.rules.longest) throw SourceError(0, "a terminal that never matches competes under longest matches alone");
    switch (t.kind) {
      case TerminalKind::Regex: {
        if (unless >= 0) t.unless = loader_.regex(unless);
        if (loader_.is(node, kOpCapture)) {
          capture(loader_.node(static_cast<Id>(node)), t, out.rules);
          break;
        }
        t.regex = t.outline = loader_.regex(node);
        if (t.unless != kNone && re_.nullable(t.unless)) t.regex = RegexStore::kEmpty;
        if (re_.nullable(t.regex)) throw SourceError(0, "a terminal must not match the empty string");
        std::int64_t d = re_.distance(t.regex);
        t.cost = d < 0 ? Rules::kInfinite : d;
        break;
      }
      case TerminalKind::Json: out.documents.emplace(id, node); break;
      case TerminalKind::Special: {
        std::string name(loader_.blob(node));
        if (auto found = specials.find(name); found == specials.end() || found->second.empty()) throw SourceError(0, "the vocabulary has no special token " + name);
        out.specials.emplace(id, std::move(name));
        break;
      }
      case TerminalKind::Layout: t.cost = 0; break;
      case TerminalKind::Never: t.cost = Rules::kInfinite, out.rules.refuses = true; break;
    }
    out.rules.terminals.push_back(t);
  }
  // A capture: its numbers become residuals when the rules are read; until then its outline stands for it.
  void capture(const PackedNode& n, Terminal& t, Rules& g) {
    if (n.count < 6) throw SourceError(0, "a capture of the table is cut short");
    Capture c;
    c.before = loader_.regex(n.operands[0]);
    c.group = loader_.regex(n.operands[1]);
    c.after = loader_.regex(n.operands[2]);
    c.most = static_cast<std::int32_t>(std::max<std::int64_t>(0, std::min<std::int64_t>(n.operands[3], INT32_MAX / 2)));
    c.lazy = n.operands[4] != 0;
    for (std::size_t k = 5; k < n.count; ++k) c.pieces.push_back(loader_.regex(n.operands[k]));
    if (c.pieces.size() < 2) throw SourceError(0, "a capture of the table is cut short");
    c.unless = t.unless;
    bool possible = re_.live(c.before) && re_.live(c.after);
    for (Id piece : c.pieces) possible = possible && re_.live(piece);
    if (!possible || (t.unless != kNone && re_.nullable(t.unless))) c.group = RegexStore::kEmpty;
    Residuals::check(re_, meter_, c);
    Residuals alone(re_, meter_, {c});
    t.regex = t.outline = alone.outline_of(0);
    t.cost = alone.start(0) ? alone.distance(alone.start(0)) : Rules::kInfinite;
    t.capture = static_cast<Id>(g.captures.size());
    g.captures.push_back(std::move(c));
  }
  // Whole characters only: what a JSON string holds is text, and a byte of no text can mark its end.
  void check_text(const Rules& g) {
    for (const Terminal& t : g.terminals)
      for (Id r : {t.regex, t.unless})
        if (t.kind == TerminalKind::Regex && r != kNone && !re_.is_text(r) && re_.live(re_.conj({r, re_.negate(re_.text())})))
          throw SourceError(1, "a grammar inside a JSON string with a terminal of bytes that are not whole characters");
  }
  // Adds the terminal of the end, after the others, and the rule of a new start: the old one, then the end. Returns it.
  Id mark_end(Rules& g, Id start, std::int64_t nonterminals, std::vector<std::pair<Id, std::vector<Id>>>& all) {
    Id end = static_cast<Id>(g.terminals.size());
    auto moved = [&](Id s) { return s < end ? s : s + 1; };
    for (auto& [head, body] : all) {
      head = moved(head);
      for (Id& s : body) s = moved(s);
    }
    for (Id& s : g.ignored) s = moved(s);
    Terminal t;
    t.regex = re_.literal(std::string_view(reinterpret_cast<const char*>(&Rules::kEndByte), 1));
    g.terminals.push_back(t);
    g.end = end;
    Id top = end + 1 + static_cast<Id>(nonterminals);
    all.emplace_back(top, std::vector<Id>{moved(start), end});
    return top;
  }
  void layout(Rules& g, Id terminals) {
    if (!next()) return;
    auto terminal = [&](TerminalKind kind) {
      std::int64_t t = next();
      if (t < 0 || t >= terminals || g.terminals[t].kind != kind) throw SourceError(0, "a layout names a terminal of the wrong kind");
      return static_cast<Id>(t);
    };
    LayoutRule& y = g.layout;
    y.on = true;
    y.newline = terminal(TerminalKind::Regex);
    y.indent = terminal(TerminalKind::Layout);
    y.dedent = terminal(TerminalKind::Layout);
    g.terminals[y.indent].cost = 1;
    y.tab = static_cast<std::int32_t>(std::max<std::int64_t>(1, std::min<std::int64_t>(next(), 64)));
    y.bracket.assign(static_cast<std::size_t>(terminals), 0);
    for (std::int64_t k = count(); k > 0; --k) y.bracket[terminal(TerminalKind::Regex)] = 1;
    for (std::int64_t k = count(); k > 0; --k) y.bracket[terminal(TerminalKind::Regex)] = -1;
    for (std::int64_t k = count(); k > 0; --k) g.terminals[terminal(TerminalKind::Regex)].inside = true;
    if (!g.longest) throw SourceError(1, "a layout under the lexing discipline \"any\"");
    for (std::string_view lines : {"\n", "\n\n", "\n \n", "\n "})
      if (!re_.accepts(g.terminals[y.newline].regex, lines))
        throw SourceError(0, "the newline terminal of a layout must match line feeds, blank lines and the next line's indentation");
  }

  void spacing(Rules& g, std::int64_t terminals) {
    g.spacing.resize(static_cast<std::size_t>(terminals));
    g.spaces.resize(static_cast<std::size_t>(terminals), false);
    for (std::int64_t k = left_ ? count() : 0; k > 0; --k) {
      std::int64_t t = next(), s = next();
      if (t < 0 || s < 0 || t >= terminals || s >= terminals) throw SourceError(0, "a grammar spaces what is no terminal");
      g.spacing[static_cast<std::size_t>(t)].push_back(static_cast<Id>(s));
      g.spaces[static_cast<std::size_t>(s)] = true;
      meter_.charge();
    }
  }

  const Loader& loader_;
  RegexStore& re_;
  Meter& meter_;
  const std::int64_t* x_ = nullptr;
  std::size_t left_ = 0;
};

}  // namespace constrain
