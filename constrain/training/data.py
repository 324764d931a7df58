"""A seeded generator of (prompt, schema, answer): records stated in English and asked for as JSON.

A sample draws a few fields, a value for each, states them in sentences from templates in random order, and gives the
JSON object that holds them, spelled as `json.dumps` does. Values mix a small inventory of real words with words made of
random syllables, so that what is learned is to copy the right span, not to remember it. Everything depends on the
`random.Random` passed in and on nothing else.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

FIRST = (
    "Maria Ada Alan Grace Linus Emma Noah Olivia Liam Sofia Lucas Mia Omar Yuki Ivan Chloe Ravi Nina Pedro Anna".split()
)
LAST = (
    "Lopez Smith Turing Hopper Chen Garcia Kim Silva Novak Rossi Brown Dubois Khan Sato Weber Jones Patel Costa".split()
)
CITIES = "Paris London Tokyo Berlin Madrid Rome Oslo Lima Cairo Delhi Boston Dublin Vienna Prague Lisbon Athens".split()
COUNTRIES = "France Japan Germany Spain Italy Norway Peru Egypt India Ireland Austria Portugal Greece Brazil".split()
COLOURS = "red green blue yellow black white orange purple".split()
PRODUCTS = "lamp chair phone laptop bottle jacket camera guitar desk watch table bike".split()
JOBS = "engineer doctor teacher nurse pilot chef lawyer writer painter farmer".split()
TAGS = "new sale small large fast light heavy cheap rare old".split()
_ONSETS = "b c d f g h j k l m n p r s t v w z br ch cl dr fl gr pl sh st th tr".split()
_VOWELS = "a e i o u ai ea io ou".split()


def word(rng: random.Random) -> str:
    """A made-up word of two or three syllables."""
    return "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(rng.randint(2, 3)))


def _name(rng: random.Random) -> str:
    def part(known: list[str]) -> str:
        return rng.choice(known) if rng.random() < 0.4 else word(rng).capitalize()

    return part(FIRST) if rng.random() < 0.3 else f"{part(FIRST)} {part(LAST)}"


def _place(known: list[str]) -> Callable[[random.Random], str]:
    return lambda rng: rng.choice(known) if rng.random() < 0.5 else word(rng).capitalize()


def _noun(known: list[str]) -> Callable[[random.Random], str]:
    return lambda rng: rng.choice(known) if rng.random() < 0.6 else word(rng)


def _date(rng: random.Random) -> str:
    return f"{rng.randint(1950, 2030)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"


@dataclass(frozen=True, slots=True)
class Field:
    """A property: its schema, how a value is drawn, and clauses that state it (``{}`` is the value)."""

    name: str
    schema: dict[str, Any]
    draw: Callable[[random.Random], Any]
    clauses: tuple[str, ...]


STRING = {"type": "string"}
INTEGER = {"type": "integer"}
NUMBER = {"type": "number"}
FIELDS = (
    Field("name", STRING, _name, ("the name is {}", "{} is the name", "called {}", "name: {}")),
    Field("age", INTEGER, lambda r: r.randint(1, 99), ("{} years old", "aged {}", "the age is {}", "age: {}")),
    Field("city", STRING, _place(CITIES), ("lives in {}", "from the city of {}", "the city is {}", "city: {}")),
    Field("country", STRING, _place(COUNTRIES), ("the country is {}", "born in {}", "country: {}")),
    Field("job", STRING, _noun(JOBS), ("works as a {}", "the job is {}", "job: {}")),
    Field("product", STRING, _noun(PRODUCTS), ("the product is a {}", "bought a {}", "product: {}")),
    Field("price", NUMBER, lambda r: round(r.uniform(1, 200), 2), ("costs {} dollars", "the price is {}", "price: {}")),
    Field("quantity", INTEGER, lambda r: r.randint(1, 50), ("the quantity is {}", "{} pieces", "quantity: {}")),
    Field("colour", {"enum": COLOURS}, lambda r: r.choice(COLOURS), ("the colour is {}", "painted {}", "colour: {}")),
    Field("date", {"type": "string", "format": "date"}, _date, ("on {}", "the date is {}", "date: {}")),
    Field("rating", INTEGER, lambda r: r.randint(1, 5), ("rated {} stars", "the rating is {}", "rating: {}")),
    Field(
        "email",
        {"type": "string", "format": "email"},
        lambda r: f"{word(r)}@{word(r)}.com",
        ("the email is {}", "write to {}", "email: {}"),
    ),
    Field(
        "in_stock",
        {"type": "boolean"},
        lambda r: r.random() < 0.5,
        ("in stock: {}", "availability is {}", "in_stock: {}"),
    ),
    Field(
        "tags",
        {"type": "array", "items": STRING},
        lambda r: r.sample(TAGS, r.randint(1, 3)),
        ("tagged {}", "the tags are {}", "tags: {}"),
    ),
)
BY_NAME = {f.name: f for f in FIELDS}
FAMILIES = ("extract", "fields", "one")


@dataclass(frozen=True, slots=True)
class Sample:
    family: str
    prompt: str
    schema: dict[str, Any]
    answer: str


def _spoken(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, list) else str(value)


def draw(rng: random.Random) -> Sample:
    """One sample. The answer is valid under the schema, and its keys are in the schema's order."""
    family = rng.choice(FAMILIES)
    stated = rng.sample(FIELDS, rng.randint(1, 5))
    values = {f.name: f.draw(rng) for f in stated}
    wanted = [rng.choice(stated)] if family == "one" else rng.sample(stated, len(stated))
    clauses = [rng.choice(f.clauses).format(_spoken(values[f.name])) for f in stated]
    rng.shuffle(clauses)
    body = rng.choice((", ", "; ", ". ", " and ")).join(clauses)
    lead = rng.choice(("", "Extract the data: ", "Extract the record: ", "Read this: ", "Fill in the form. "))
    prompt = f"{lead}{body[0].upper() + body[1:]}."
    if family != "extract" or rng.random() < 0.5:
        prompt += f"\nFields: {', '.join(f.name for f in wanted)}"
    schema = {
        "type": "object",
        "properties": {f.name: f.schema for f in wanted},
        "required": [f.name for f in wanted],
        "additionalProperties": False,
    }
    answer = json.dumps({f.name: values[f.name] for f in wanted}, ensure_ascii=False)
    return Sample(family, prompt, schema, answer)
