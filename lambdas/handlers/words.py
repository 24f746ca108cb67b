"""What a client is told of a body that is not what the contract says: API Gateway's own words."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

LONGEST_QUOTE = 200
"""Characters of what a client sent that are said back."""

INVALID = "Invalid request body"
"""Said of what is no JSON at all."""


def words(rule: str, definition: Mapping[str, Any], value: Any) -> str:
    """Say how *value* breaks the keyword *rule* of a schema."""
    return WORDS[rule](definition, value)


def kind(value: Any) -> str:
    """Return the JSON type of a value."""
    return next(name for name, kinds in KINDS.items() if type(value) in kinds)


def quoted(value: Any) -> str:
    """Return a value as JSON, shortened."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]}..."


def _text(value: str) -> str:
    return value if len(value) <= LONGEST_QUOTE else f"{value[:LONGEST_QUOTE]}..."


def _type(definition: Mapping[str, Any], value: Any) -> str:
    wanted = definition["type"]
    allowed = ["integer", "number"] if wanted == "number" else [wanted]
    found = f"instance type ({kind(value)})"
    return f"{found} does not match any allowed primitive type (allowed: {quoted(allowed)})"


def _required(definition: Mapping[str, Any], value: Any) -> str:
    missing = sorted(set(definition["required"]) - set(value))
    return f"object has missing required properties ({quoted(missing)})"


def _additional(definition: Mapping[str, Any], value: Any) -> str:
    surplus = sorted(set(value) - set(definition["properties"]))
    return f"object instance has properties which are not allowed by the schema: {quoted(surplus)}"


KINDS: Mapping[str, tuple[type, ...]] = {
    "array": (list, tuple),
    "boolean": (bool,),
    "integer": (int,),
    "null": (type(None),),
    "number": (float,),
    "object": (dict,),
    "string": (str,),
}

WORDS: Mapping[str, Callable[[Mapping[str, Any], Any], str]] = {
    "type": _type,
    "required": _required,
    "additionalProperties": _additional,
    "enum": lambda rules, value: (
        f"instance value ({quoted(value)}) not found in enum (possible values: {quoted(rules['enum'])})"
    ),
    "minLength": lambda rules, value: (
        f'string "{_text(value)}" is too short (length: {len(value)}, required minimum: {rules["minLength"]})'
    ),
    "maxLength": lambda rules, value: (
        f'string "{_text(value)}" is too long (length: {len(value)}, maximum allowed: {rules["maxLength"]})'
    ),
    "pattern": lambda rules, value: (
        f'ECMA 262 regex "{rules["pattern"]}" does not match input string "{_text(value)}"'
    ),
    "format": lambda rules, value: f'input string "{_text(value)}" is not a valid {rules["format"].upper()}',
    "minimum": lambda rules, value: (
        "numeric instance is lower than the required minimum "
        f"(minimum: {rules['minimum']}, found: {quoted(value)})"
    ),
    "maximum": lambda rules, value: (
        "numeric instance is greater than the required maximum "
        f"(maximum: {rules['maximum']}, found: {quoted(value)})"
    ),
    "multipleOf": lambda rules, value: (
        f"remainder of division is not zero ({quoted(value)} / {rules['multipleOf']})"
    ),
    "minItems": lambda rules, value: (
        f"array is too short: must have at least {rules['minItems']} elements "
        f"but instance has {len(value)} elements"
    ),
    "maxItems": lambda rules, value: (
        f"array is too long: must have at most {rules['maxItems']} elements "
        f"but instance has {len(value)} elements"
    ),
    "minProperties": lambda rules, value: (
        f"object has too few properties (found {len(value)} "
        f"but schema requires at least {rules['minProperties']})"
    ),
    "maxProperties": lambda rules, value: (
        f"object has too many properties (found {len(value)} "
        f"but schema requires at most {rules['maxProperties']})"
    ),
}
"""One table from a schema's keyword to the words for its breach."""
