"""Turns pydantic's findings into sentences a geologist can act on: field, value got, what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

NEEDED = {
    "tuple_type": "a list in square brackets is needed",
    "model_type": "a table is needed",
    "model_attributes_type": "a table in braces is needed",
    "dict_type": "a table in braces is needed",
    "path_type": "a path in quotes is needed",
    "string_type": "a text in quotes is needed",
    "int_type": "a whole number is needed",
    "float_type": "a number is needed",
    "bool_type": "true or false is needed",
    "finite_number": "a finite number is needed",
    "string_too_short": "it must not be empty",
    "string_pattern_mismatch": "slashes, backslashes and control characters are not allowed",
    "too_short": "it must not be empty",
}
"""What pydantic says in the words of Python, in those of the file."""


EACH = {"layers": "layer", "samples": "file of samples", "inputs": "input", "scenes": "scene"}
"""Tables that may come several times, in double brackets."""


def explain(error: ValidationError, path: Path, content: Mapping[str, Any], model: type[BaseModel]) -> str:
    """All mistakes of a project file in one message, a line each, the field first."""
    found: dict[str, list[str]] = {}
    for item in error.errors():
        field, sentence = _sentence(dict(item), content, model)
        found.setdefault(field, []).append(sentence)  # the branches of a union speak of the same field
    lines = [_end(f"{field}: {'; or '.join(dict.fromkeys(texts))}") for field, texts in found.items()]
    what = "1 mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
    return f"{path}: {what} in the project file.\n" + "\n".join(f"  {line}" for line in lines)


def _sentence(item: dict[str, Any], content: Mapping[str, Any], model: type[BaseModel]) -> tuple[str, str]:
    """The field and what is wrong with it."""
    field, got = _field(item["loc"], content), as_written(item.get("input"))
    context = item.get("ctx", {})
    match item["type"]:
        case "extra_forbidden":
            return field, f"unknown key; {_nearest(str(item['loc'][-1]), _siblings(item['loc'], model))}"
        case "missing":
            return field, "required, but not given"
        case "union_tag_invalid":
            return (
                f"{field}.kind",
                f"got {context['tag']!r}; allowed: {str(context['expected_tags']).replace(chr(39), '')}",
            )
        case "union_tag_not_found":
            return field, f'needs a kind, for example {{ kind = "sigmoid" }}; got {got}'
        case "literal_error":
            return field, f"got {got}; allowed: {context['expected']}"
        case "value_error":
            return field, str(context["error"])
    if item["type"] == "tuple_type" and field in EACH:
        return field, f"write [[{field}]], in double brackets, before every {EACH[field]}"
    if item["type"] == "model_type" and isinstance(item["input"], list):
        return field, f"write [{field}], in single brackets"
    return field, f"got {got}; {NEEDED.get(item['type']) or item['msg'][0].lower() + item['msg'][1:]}"


def _nearest(key: str, allowed: set[str]) -> str:
    starts = sorted(name for name in allowed if name.startswith(key) or key.startswith(name))
    close = starts or difflib.get_close_matches(key, sorted(allowed), 1)
    return f"did you mean {close[0]!r}?" if close else f"allowed: {', '.join(sorted(allowed))}"


def as_written(value: object) -> str:
    """The value as it stands in the file, cut where it is long."""
    text = str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, date) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _field(loc: Sequence[str | int], content: Mapping[str, Any]) -> str:
    """('layers', 2, 'membership', 'linear', 'lo') -> layers[3] 'faults'.membership.lo, counted from 1 as people do."""
    text, here = "", content
    for part in loc:
        step = here.get(str(part)) if isinstance(here, Mapping) else None
        if isinstance(part, int):
            step = here[part] if isinstance(here, list) and part < len(here) else None
            name = step.get("source" if text == "samples" else "name") if isinstance(step, Mapping) else None
            text += f"[{part + 1}]" + (f" {name!r}" if name is not None else "")
        elif isinstance(here, Mapping) and here.get("kind") == part:
            continue  # the tag of a membership, no key of the file
        elif not isinstance(here, Mapping) and step is None and here is not content:
            continue  # a branch of a union such as 'float': no key of the file
        else:
            text += f".{part}" if text else str(part)
        here = step
    return text or "project file"


def _siblings(loc: Sequence[str | int], model: type[BaseModel]) -> set[str]:
    """The keys allowed where an unknown one was found."""
    models: set[type[BaseModel]] = {model}
    for part in loc[:-1]:
        found = {m for parent in models for m in _models(_annotation(parent, part))}
        tagged = {m for m in found | models if part in _tags(m)}
        models = tagged or found or models
    keys = {info.alias or name for m in models for name, info in m.model_fields.items()}
    return keys - {"folder", "file", "text"}


def _annotation(model: type[BaseModel], key: str | int) -> Any:
    for name, info in model.model_fields.items():
        if key in (name, info.alias):
            return info.annotation
    return None


def _models(annotation: Any) -> Iterable[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    field = model.model_fields.get("kind")
    return get_args(field.annotation) if field else ()


def _end(sentence: str) -> str:
    return sentence if sentence.endswith((".", "?")) else sentence + "."
