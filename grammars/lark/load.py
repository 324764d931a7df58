"""Documents to namespaces: definitions under their visible names, imports followed, overrides and extensions applied.

Each document loaded is one `Namespace` that maps names to *slots*. An import shares the slot of the imported namespace,
so that a definition overridden or extended by the importer is the one that the imported rules use too, and every name is
looked up where it was written; nothing is renamed. Each import statement's path is loaded once for each importer.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources

from grammars.errors import GrammarError, LimitExceeded
from grammars.lark.parse import parse_lark
from grammars.lark.syntax import (
    Attribute,
    Choice,
    Declare,
    Definition,
    Document,
    Ignore,
    Import,
    LayoutStatement,
    Name,
    Node,
    Source,
    Span,
    is_terminal,
    walk,
)  # fmt: skip
from grammars.limits import Limits

CHAIN = 100  # imports of imports of imports ...
STANDARD = ("common", "lark", "python", "unicode")


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """A node and the namespace in which its names are looked up."""

    node: Node
    home: Namespace


@dataclass(slots=True, eq=False)
class Slot:
    """A rule or terminal under construction. `bodies` are alternatives; none: only declared."""

    name: str
    home: Namespace
    span: Span
    parameters: tuple[str, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    priority: int | None = None
    bodies: list[Body] = field(default_factory=list)

    @property
    def terminal(self) -> bool:
        return is_terminal(self.name)

    @property
    def what(self) -> str:
        return f"{'terminal' if self.terminal else 'rule'} {self.name}"


@dataclass(slots=True, eq=False)
class Namespace:
    source: Source
    slots: dict[str, Slot] = field(default_factory=dict)
    ignored: list[Ignore] = field(default_factory=list)
    layout: LayoutStatement | None = None

    def error(self, message: str, span: Span) -> GrammarError:
        where = f" (in {self.source.name})" if self.source.name else ""
        return GrammarError(message + where, source=self.source.text, span=span)

    def find(self, name: str, span: Span, user: str = "") -> Slot:
        """The definition of `name`; GrammarError with the nearest name if there is none."""
        found = self.slots.get(name)
        if found is None:
            raise self.undefined(name, span, user)
        return found

    def undefined(self, name: str, span: Span, user: str = "", others: Iterable[str] = ()) -> GrammarError:
        kind = "terminal" if is_terminal(name) else "rule"
        near = nearest(name, [*self.slots, *others])
        used = f", used in {user}," if user else ""
        return self.error(f"the {kind} {name}{used} is not defined{near}", span)


def nearest(name: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(name, list(known)[:10_000], 1)
    return f"; did you mean {found[0]}?" if found else ""


@functools.lru_cache(maxsize=16)
def _standard(name: str) -> Document:
    text = resources.files("grammars.lark").joinpath("standard", f"{name}.lark").read_text(encoding="utf-8")
    return parse_lark(Source(f"{name}.lark", text))


@functools.lru_cache(maxsize=64)
def library_text(name: str) -> str | None:
    """The text of the bundled grammar `name`, of the library or of those that come with this front end, or None."""
    if not name.replace("_", "").replace("-", "").isalnum():
        return None
    for folder in (("library",), ("lark", "standard")):
        file = resources.files("grammars").joinpath(*folder, f"{name}.lark")
        if file.is_file():
            return file.read_text(encoding="utf-8")
    return None


class Loader:
    """Loads documents; one for each grammar compiled."""

    def __init__(self, imports: Mapping[str, str], limits: Limits) -> None:
        self.imports, self.limits = imports, limits
        self.read = 0  # bytes of all documents loaded
        self.parsed: dict[str, Document] = {}

    def load(self, document: Document, chain: tuple[str, ...] = ()) -> Namespace:
        """Apply the statements of `document` in order, imports first. O(size of all documents)."""
        self.read += len(document.source.text)
        if self.read > self.limits.source_bytes:
            raise LimitExceeded(self.read, self.limits.source_bytes, "source_bytes of a grammar and its imports")
        space = Namespace(document.source)
        imported: dict[tuple[bool, tuple[str, ...]], Namespace] = {}
        for statement in document.statements:
            if isinstance(statement, Import):
                self.import_(space, statement, imported, chain)
        for statement in document.statements:
            if isinstance(statement, Definition):
                self.define(space, statement)
            elif isinstance(statement, Declare):
                for name, span in statement.names:
                    self.fresh(space, name, span)
                    space.slots[name] = Slot(name, space, span)
            elif isinstance(statement, Ignore):
                space.ignored.append(statement)
            elif isinstance(statement, LayoutStatement):
                self.layout(space, statement)
        return space

    # ------------------------------------------------------------------ statements
    def fresh(self, space: Namespace, name: str, span: Span) -> None:
        if name.startswith("__"):
            raise space.error(f"names that begin with two underscores are reserved: {name}", span)
        if name in space.slots:
            advice = "use %override to replace it or %extend to add alternatives"
            raise space.error(f"the {space.slots[name].what} is defined more than once; {advice}", span)

    def define(self, space: Namespace, d: Definition) -> None:
        if d.mode == "define":
            self.fresh(space, d.name, d.span)
            space.slots[d.name] = Slot(
                d.name, space, d.span, d.parameters, d.attributes, d.priority, [Body(d.body, space)]
            )
            return
        slot = space.slots.get(d.name)
        if slot is None:
            near = nearest(d.name, space.slots)
            raise space.error(f"%{d.mode} needs an earlier definition of {d.name}, and there is none{near}", d.span)
        if d.mode == "override":
            slot.home, slot.span, slot.bodies = space, d.span, [Body(d.body, space)]
            slot.parameters, slot.attributes, slot.priority = d.parameters, d.attributes, d.priority
            return
        if slot.parameters != d.parameters:
            raise space.error(f"%extend must keep the parameters of {d.name}: ({', '.join(slot.parameters)})", d.span)
        if not slot.bodies:
            raise space.error(f"{d.name} is only declared; %extend needs a definition", d.span)
        slot.bodies.insert(0, Body(d.body, space))

    def layout(self, space: Namespace, y: LayoutStatement) -> None:
        if space.layout is not None:
            raise space.error("%layout is given twice", y.span)
        space.layout = y
        for name in (y.indent, y.dedent):
            slot = space.slots.setdefault(name.name, Slot(name.name, space, name.span))
            if slot.bodies:
                raise space.error(
                    f"{name.name} is produced by %layout and matches no text; remove its definition", name.span
                )

    # ------------------------------------------------------------------ imports
    def import_(
        self,
        space: Namespace,
        statement: Import,
        imported: dict[tuple[bool, tuple[str, ...]], Namespace],
        chain: tuple[str, ...],
    ) -> None:
        key = (statement.relative, statement.path)
        if key not in imported:
            name, document = self.document(space, statement, chain)
            if name in chain:
                raise space.error(f"imports go in a circle: {' -> '.join((*chain, name))}", statement.span)
            if len(chain) >= CHAIN:
                raise LimitExceeded(len(chain) + 1, CHAIN, "depth of imports")
            imported[key] = self.load(document, (*chain, name))
        source = imported[key]
        for name, alias, span in statement.names:
            slot = source.slots.get(name)
            if slot is None:
                near = nearest(name, source.slots)
                raise space.error(f"{'.'.join(statement.path)} has no {name}{near}", span)
            if alias in space.slots:
                if space.slots[alias] is slot:
                    continue
                raise space.error(f"{alias} is imported more than once", span)
            space.slots[alias] = slot

    def document(self, space: Namespace, statement: Import, chain: tuple[str, ...]) -> tuple[str, Document]:
        """The document of a path: relative to the importer, then the given texts, standard ones, the library."""
        path = ".".join(statement.path)
        base = chain[-1].rpartition(".")[0] if chain else ""
        candidates = [f"{base}.{path}"] if statement.relative and base else []
        for name in (*candidates, path):
            if name in self.imports:
                return name, self.parse(name, self.imports[name])
        if not statement.relative:
            if path in STANDARD:
                return path, _standard(path)
            text = library_text(path)
            if text is not None:
                return path, self.parse(path, text)
        known = sorted({*self.imports, *(() if statement.relative else STANDARD)})
        advice = f"known are {', '.join(known)}" if known else "give its text in imports={path: text}"
        raise space.error(f"there is no grammar {path} to import from{nearest(path, known)} ({advice})", statement.span)

    def parse(self, name: str, text: str) -> Document:
        if name not in self.parsed:
            self.parsed[name] = parse_lark(Source(f"{name}.lark", text), self.limits)
        return self.parsed[name]


def check_names(space: Namespace) -> None:
    """Every name used in a definition of `space` itself is defined, with the right number of arguments. O(size)."""
    for slot in space.slots.values():
        for body in slot.bodies:
            _check_body(slot, body)
    for statement in space.ignored:
        for node in walk(statement.body):
            if isinstance(node, Name):
                _check_arguments(node, space.find(node.name, node.span, "%ignore"), space)


def _check_body(slot: Slot, body: Body) -> None:
    home = body.home
    for parameter in slot.parameters:
        if parameter in home.slots:
            raise home.error(f"the parameter {parameter} of {slot.name} is also the name of a rule", slot.span)
    for node in walk(body.node):
        if not isinstance(node, Name) or node.name in slot.parameters:
            continue
        if node.name not in home.slots:
            raise home.undefined(node.name, node.span, slot.what, slot.parameters)
        _check_arguments(node, home.slots[node.name], home)


def _check_arguments(node: Name, slot: Slot, home: Namespace) -> None:
    wanted, given = len(slot.parameters), len(node.arguments or ())
    if wanted != given:
        takes = f"{wanted} argument{'s' * (wanted != 1)}, and {given} {'is' if given == 1 else 'are'} given"
        raise home.error(f"the template {node.name} takes {takes}", node.span)


def as_choice(bodies: list[Body]) -> list[Body]:
    """The alternatives of a slot, those of a choice one by one, with the place of their names."""
    return [Body(n, b.home) for b in bodies for n in (b.node.branches if isinstance(b.node, Choice) else (b.node,))]
