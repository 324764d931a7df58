"""The JSON Schema front end: drafts 4, 6, 7, 2019-09 and 2020-12 to predicates on JSON values.

Enforced: type, enum, const, every keyword on numbers, strings (length, pattern and format together), arrays (items,
prefixItems, additionalItems, contains with bounds, minItems, maxItems) and objects (properties, patternProperties,
additionalProperties, propertyNames, required, dependent*, dependencies, minProperties, maxProperties), anyOf, allOf,
oneOf, not, if/then/else, local, recursive, dynamic and registered references, boolean schemas, uniqueItems,
unevaluatedItems, unevaluatedProperties, the formats in `formats.NAMES` and those that grammars are given for
(`named_grammars`). Nothing is refused by name. Everything else is annotation, and the report says so.
"""

from grammars.json_schema.lower import LoweredSchema, lower_schema
from grammars.json_schema.report import ReportRow

__all__ = ["LoweredSchema", "ReportRow", "lower_schema"]
