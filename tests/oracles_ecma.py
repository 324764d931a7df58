"""jsonschema with the patterns of an ECMA-262 engine: Python's `re` reads `.`, `$`, `\\d`, `\\w` and `\\s` otherwise."""

from __future__ import annotations

import decimal
import json
import subprocess
from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema
from oracles import exact

SERVER = """
const vm = require('vm'), lines = require('readline').createInterface({input: process.stdin});
const made = new Map();
lines.on('line', line => {
  const [pattern, text] = JSON.parse(line);
  let out;
  try {
    if (!made.has(pattern)) {
      let r;
      try { r = new RegExp(pattern, 'u'); } catch { r = new RegExp(pattern); }
      made.set(pattern, r);
    }
    out = vm.runInNewContext('r.test(t)', {r: made.get(pattern), t: text}, {timeout: 2000});
  } catch { out = null; }
  console.log(JSON.stringify(out));
});
"""


class Undecided(Exception):
    """The engine takes no such pattern, or the match takes too long."""


class Ecma:
    """A process of node that matches patterns: with `u`, or by Annex B where they are invalid under `u`."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            ["node", "-e", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        self.search = cache(self._search)

    def _search(self, pattern: str, text: str) -> bool:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([pattern, text]) + "\n")
        self.process.stdin.flush()
        verdict = json.loads(self.process.stdout.readline())
        if verdict is None:
            raise Undecided(pattern)
        return bool(verdict)

    def close(self) -> None:
        """End the process."""
        self.process.communicate()

    def errors(self, schema: Any, instance: Any, formats: Any = None) -> Iterator[jsonschema.ValidationError]:
        """What jsonschema finds wrong, with exact decimals; `formats`: a checker of its own.

        `unevaluatedProperties` alone still matches patterns as Python does.
        """
        schema = json.loads(json.dumps(schema), parse_float=decimal.Decimal)
        base: Any = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        cls: Any = jsonschema.validators.extend(base, self.keywords())
        with decimal.localcontext() as context:
            context.prec = 12_000  # remainders of numbers with large exponents
            yield from cls(schema, format_checker=formats).iter_errors(exact(instance))

    def keywords(self) -> dict[str, Any]:
        """The keywords that hold patterns."""

        def pattern(validator: Any, patrn: str, instance: Any, schema: Any) -> Iterator[jsonschema.ValidationError]:
            if validator.is_type(instance, "string") and not self.search(patrn, instance):
                yield jsonschema.ValidationError(f"{instance!r} does not match {patrn!r}")

        def properties(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[jsonschema.ValidationError]:
            for patrn, sub in value.items() if validator.is_type(instance, "object") else ():
                for name in instance:
                    if self.search(patrn, name):
                        yield from validator.descend(instance[name], sub, path=name, schema_path=patrn)

        def additional(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[jsonschema.ValidationError]:
            patterns = schema.get("patternProperties", {})
            for name in instance if validator.is_type(instance, "object") else ():
                if name not in schema.get("properties", {}) and not any(self.search(p, name) for p in patterns):
                    if validator.is_type(value, "object"):
                        yield from validator.descend(instance[name], value, path=name)
                    elif not value:
                        yield jsonschema.ValidationError(f"{name!r} is not declared")

        return {"pattern": pattern, "patternProperties": properties, "additionalProperties": additional}
