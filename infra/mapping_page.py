"""docs/mapping.md, rendered from the JSON Schema of mapping documents."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_INTRODUCTION = """\
# Mappings

What a business system's file looks like and what each of its columns means, as one document: TOML in
[the presets](../tenants/presets/README.md), JSON in the API. Written by `make openapi` from the schema that checks it,
which `GET /v1/mapping-schema` answers; change [the document](../chalicelib/connectors/mapping.py) or
[the forms](../chalicelib/connectors/forms/model.py).

## From a file to a connector

1. `POST /v1/connectors/discover` with the first bytes of a file in base64 (at most 180,000 before that) answers its
   format, its columns by the shapes of their values (never the values), and a proposed mapping with a confidence for
   each field, from [the names that systems use](../tenants/synonyms.toml) and from what the values look like. What is
   missing is named, with the columns that could be it.
2. `POST /v1/connectors` with that mapping, corrected, makes the connector. Every problem of a document is answered with
   its JSON pointer.
3. `POST /v1/connectors/{id}/preview` with the name of a waiting file, or a sample, shows the first rows before and
   after, those that would be quarantined with their reasons, the totals, and what the trailer says. Of a waiting file
   the first 8 MB are looked at; a form that has no beginning by itself (a zip, a workbook, one JSON or XML document)
   must be smaller. Nothing is applied.
4. `PUT /v1/connectors/{id}/mapping` puts another mapping in force. Send the version that you read as `If-Match`.

## Versions

A connector's mapping has versions, and every one is kept: `GET /v1/connectors/{id}/mapping/versions`. The connector
gives the numbers; the `version` in a document that is sent is not looked at. The document in force, sent again, makes
no new version, so a call whose answer was lost can be repeated.

A run keeps the version that was in force when its file was claimed. The next run reads every line anew where the new
version means something else by it, and changes the accounts that it maps differently, and no others: `preview` with the
candidate as `mapping` counts them beforehand, by field. The same file of the same day remains a duplicate; the change
comes with the next day's file. An account is known by its key: another column for `account.key` makes other accounts
and removes the old ones, which `max_removed_share` refuses unless it allows for it.

## Pausing and deleting a connector

`PATCH /v1/connectors/{id}` with `paused` true keeps runs from starting: files wait, pushed rows are taken, a run at
work ends. With false, waiting files are read at once.

`DELETE /v1/connectors/{id}` is refused while a run is at work, and can be repeated. The connector is in no list, counts
for no limit and takes in nothing: no file, no row, no mapping (`410`). All that it brought stays, because cases and the
ledger rest on it: accounts and cases, and under the connector's id its runs, reports, quarantined rows and mapping
versions; its files stay in the tenant's prefix until the tenant is erased, those that waited too, unread. Accounts
belong to the connector that brought them: another one made for the same system brings other accounts.

## Why a row is quarantined

A reason names the field, what is accepted and never the value: `wrong_column_count`, `misplaced_quote`, `stray_return`
(of the row), `unreadable`, `empty`, `too_long`, `pattern`, `not_an_amount`, `too_many_decimals`, `out_of_range`,
`not_a_date`, `unknown_currency`, `unknown_code`, `required_together`, `after_business_date`, `duplicate_key` (of a
field). An account whose row is quarantined stays as it was.

# The document

Each field has a `target`, one of the fields of the canonical record, and a `source`, a heading of the file. Whatever
its `type`: where `required`, the column must be in the file; `trim` takes blanks off both ends; `full_width_to_half`
makes ASCII of full-width forms; `empty` says what a blank value does to its row, and `severity` whether a value that is
not accepted rejects the row, or is left out and counted as a warning.
"""


def page(schema: Mapping[str, Any]) -> str:
    """The page for a schema."""
    parts = {schema["title"]: schema, **_in_reading_order(schema)}
    return "\n".join([_INTRODUCTION, *(line for name, part in parts.items() for line in _part(name, part))])


def _in_reading_order(schema: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The parts as they come up when the document is read from the top, each once."""
    definitions: Mapping[str, Any] = schema.get("$defs", {})
    found: dict[str, Mapping[str, Any]] = {}
    waiting = list(_references(schema.get("properties", {})))
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found[name] = definitions[name]
            waiting += _references(definitions[name])
    return found


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "$ref":
                yield value.rsplit("/", 1)[-1]
            elif key != "discriminator":
                yield from _references(value)
    elif isinstance(part, list):
        for each in part:
            yield from _references(each)


def _part(name: str, part: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {name}\n"
    if described := part.get("description"):
        yield f"{described}\n"
    required = part.get("required", [])
    yield _row(["Member", "Value", "Limits", "Default"])
    yield _row(["---"] * 4)
    for member, value in part.get("properties", {}).items():
        default = "required" if member in required else _code(value.get("default"))
        yield _row([f"`{member}`", _kind(value), _limits(value), default])
    yield ""


def _kind(value: Mapping[str, Any]) -> str:
    """What a member's value is, in words."""
    if "$ref" in value:
        name = value["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "const" in value:
        return _code(value["const"])
    if "enum" in value:
        return ", ".join(map(_code, value["enum"]))
    for choice in ("anyOf", "oneOf"):
        if choice in value:
            return " or ".join(dict.fromkeys(_kind(each) for each in value[choice] if each.get("type") != "null"))
    match value.get("type"):
        case "array":
            return f"list of {_kind(value['items'])}"
        case "object":
            entries = value.get("additionalProperties") or next(iter(value.get("patternProperties", {}).values()), {})
            return f"table of {_kind(entries)} by name"
        case "string":
            return "text"
        case "integer":
            return "whole number"
        case "boolean":
            return "`true` or `false`"
        case kind:
            return str(kind or "anything")


def _limits(value: Mapping[str, Any]) -> str:
    """What is accepted of that kind."""
    words: list[str] = []
    for part in (value, *(each for each in value.get("anyOf", []) if each.get("type") != "null")):
        words += _bounds(part, "minimum", "maximum", "{} to {}")
        words += _bounds(part, "minLength", "maxLength", "{} to {} characters")
        words += _bounds(part, "minItems", "maxItems", "{} to {} entries")
        words += _bounds(part, "minProperties", "maxProperties", "{} to {} entries")
        if "pattern" in part and part.get("type") == "string":
            words.append(f"as {_code(part['pattern'])}")
    return ", ".join(dict.fromkeys(words))


def _bounds(part: Mapping[str, Any], least: str, most: str, words: str) -> list[str]:
    if most in part:
        return [words.format(part.get(least, 0), part[most])]
    if least in part:
        return [words.replace("{} to {}", "at least {}").format(part[least])]
    return []


def _code(value: object) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"`{text}`" if text else '`""`'


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
