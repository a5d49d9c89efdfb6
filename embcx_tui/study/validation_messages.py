"""The words for mistakes of a study file, in the place of pydantic's."""

from __future__ import annotations

# pydantic's words for bounds, the longer ones first.
BOUNDS = {
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "greater than": "more than",
    "less than": "less than",
}
# Plain words for pydantic's types of error, as somebody who writes TOML would say it.
PLAIN = {
    "model_type": "must be a table of keys",
    "tuple_type": "must be a list",
    "too_short": "choose at least one",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be text in quotes",
    "string_pattern_mismatch": "must be auto, cpu, cuda or cuda:N",
    "string_too_long": "is too long",
    "too_long": "has too many entries",
}
