"""What the files of a campaign may hold: the written schemas in `analysis/schemas/`, and a file held against its own.

The schemas are JSON Schema (draft 2020-12), a directory for each version of the log contract. Files that are no JSON
are read as what JSON could hold: `key=value` lines as an object, tab separated lines as a list of objects; all their
values are texts. For people: docs/logs.md.
"""

from __future__ import annotations

import json
import re
import reprlib
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry

from analysis.names import SCHEMAS, strange_schema

DIRECTORY = Path(__file__).parent / "schemas"
TABLES = ("plan", "iterations", "stopping", "idle")

_KINDS = {
    r".+\.meta": "sidecar",
    r"campaign\.json": "campaign",
    r"host(\.[0-9]+)?\.json": "host",  # host.1.json: what it was before it changed
    r"leases\.json": "leases",
    r"DONE": "done",
    **{rf"{table}\.tsv": table for table in TABLES},
}


def kind_of(file_name: str) -> str | None:
    """Which schema a file of a campaign must keep to; None = none, such as a runner's own log."""
    return next((kind for pattern, kind in _KINDS.items() if re.fullmatch(pattern, file_name)), None)


def violations(kind: str, content: bytes) -> list[str]:
    """What of a file is not as its schema says, one sentence each; [] = it is valid.

    A key or column that the schema does not know is none: a newer kit may add some.
    """
    try:
        document = _read(kind, content)
    except (ValueError, RecursionError) as error:
        return [str(error)]
    if isinstance(document, dict) and (strange := strange_schema(document.get("schema"))):
        return [strange]  # by any other schema all else would look wrong
    found = sorted(_validator(kind).iter_errors(document), key=_order)
    return list(dict.fromkeys(_sentence(kind, error) for error in found))


@cache
def _validator(kind: str) -> Draft202012Validator:
    paths = (DIRECTORY / str(max(SCHEMAS))).glob("*.json")
    schemas = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}
    registry = Registry().with_contents((schema["$id"], schema) for schema in schemas.values())
    return Draft202012Validator(schemas[kind], registry=registry)


# --- Files to what JSON could hold ------------------------------------------------------------------------------------


def _read(kind: str, content: bytes) -> Any:
    """A file as JSON would hold it. Raises ValueError, with the sentence for it, where it is of another format."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 (byte {error.start + 1})") from None
    if kind in TABLES:
        return _rows(text)
    if kind in ("sidecar", "done"):
        return _pairs(text)
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"is not JSON ({error})") from None


def _pairs(text: str) -> dict[str, str]:
    found = {}
    for number, line in enumerate(text.split("\n"), start=1):
        key, equals, value = line.partition("=")
        if equals:
            found[key] = value
        elif line:
            raise ValueError(f"line {number} is {reprlib.repr(line)}, expected key=value")
    return found


def _rows(text: str) -> list[dict[str, str]]:
    header, *lines = text.removesuffix("\n").split("\n")
    columns = header.split("\t")
    if len(set(columns)) < len(columns):
        raise ValueError("has two columns of one name")
    for number, line in enumerate(lines, start=2):
        if (count := len(line.split("\t"))) != len(columns):
            raise ValueError(f"line {number} has {count} columns, expected {len(columns)} as in the first line")
    return [dict(zip(columns, line.split("\t"), strict=True)) for line in lines]


# --- What is said -----------------------------------------------------------------------------------------------------


def _sentence(kind: str, error: ValidationError) -> str:
    path = list(error.absolute_path)
    if error.validator == "required":
        missing = next(name for name in error.validator_value if f"{name!r} " in error.message)
        if kind in TABLES:
            return f"column '{missing}' is missing"  # from the first line, and so from all
        where = _place(kind, path)
        return f"{where}{'.' if where else ''}{missing} is missing"
    where, found = _place(kind, path), reprlib.repr(error.instance)
    if "description" not in error.schema:
        return f"{where}: {error.message}"
    return f"{where or 'the whole'} is {found}, expected {error.schema['description']}"


def _order(error: ValidationError) -> list[tuple[int, str]]:
    """Line 2 before line 12."""
    return [(part, "") if isinstance(part, int) else (0, part) for part in error.absolute_path]


def _place(kind: str, path: list[str | int]) -> str:
    """Where in a file: `settings.threads[0]`, or `line 3, threads`."""
    if kind in TABLES:
        return ", ".join([f"line {path[0] + 2}", *map(str, path[1:])])
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
