"""Every key of a recipe with its type, default and meaning, for the table in the documents."""

from __future__ import annotations

import json
import re
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from realm.nn.encoders import EncoderSettings, settings_class
from realm.recipe import Recipe, section_in
from realm.streaming.encoders import ENCODERS, MAMBA2

WORDS = ("required", "not set")  # defaults that are no values


class RecipeKey(NamedTuple):
    """One key of a recipe, as a document tells it."""

    key: str  # with dots between the parts
    type: str
    default: str  # as TOML writes it; "required" where there is none
    description: str


def recipe_keys(section: Any = None, prefix: str = "") -> list[RecipeKey]:
    """Every key of a recipe that this package knows, section by section.

    Of encoders, the keys of Mamba-2 are listed. What a key means is said under "Attributes" in the
    docstring of the class of its section.
    """
    section = Recipe if section is None else section
    listed = []
    for name, annotation, default in _fields(section):
        inner = section_in(annotation)
        if inner is not None:
            at = f"{prefix}{name}."
            if inner is EncoderSettings:
                inner, kinds = settings_class(None), ", ".join(ENCODERS)
                told = f"kind of encoder: {kinds}, or one of another package."
                listed.append(RecipeKey(f"{at}kind", "text", json.dumps(MAMBA2), told))
            listed += recipe_keys(inner, at)
        else:
            told = _told(section, name)
            listed.append(RecipeKey(prefix + name, _type_name(annotation), default, told))
    return listed


def _fields(section: Any) -> list[tuple[str, Any, str]]:
    """Name, type and default of the fields of a section."""
    if is_dataclass(section):
        types = get_type_hints(section)
        return [
            (f.name, types[f.name], _default(f.default if made is MISSING else made()))
            for f in fields(section)
            for made in [f.default_factory]
        ]
    return [
        (n, f.annotation, "required" if f.is_required() else _default(f.get_default()))
        for n, f in section.model_fields.items()
    ]


def _default(value: Any) -> str:
    if value is None:
        return "not set"
    return json.dumps(value, default=str)


def _type_name(annotation: Any) -> str:
    if get_origin(annotation) is Annotated:
        return _type_name(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return " or ".join(json.dumps(value) for value in get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        parts = [part for part in get_args(annotation) if part is not NoneType]
        return " or ".join(_type_name(part) for part in parts)
    plain = {float: "number", int: "whole number", str: "text", bool: "true or false"}
    if annotation in plain:
        return plain[annotation]
    if get_origin(annotation) is dict:
        return "table of " + _type_name(get_args(annotation)[1])
    parts = [part for part in get_args(annotation) if part is not Ellipsis]
    fixed = get_origin(annotation) is tuple and Ellipsis not in get_args(annotation)
    return f"{len(parts)} of {_type_name(parts[0])}" if fixed else f"list of {_type_name(parts[0])}"


def _told(section: type, name: str) -> str:
    """What the docstring of a class, or of one that it comes from, says of an attribute."""
    for parent in section.__mro__:
        _, _, attributes = (parent.__doc__ or "").partition("Attributes:\n")
        attributes = attributes.partition("\n\n")[0]
        for entry in re.split(r"\n {8}(?=\S)", "\n" + attributes.rstrip()):
            told, colon, text = entry.partition(": ")
            if colon and told.strip() == name:
                return " ".join(text.split())
    return ""


def keys_table() -> str:
    """All keys as a table in Markdown."""
    rows = [
        f"| `{k.key}` | {k.type} | {k.default if k.default in WORDS else f'`{k.default}`'} "
        f"| {k.description} |"
        for k in recipe_keys()
    ]
    head = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join(head + rows) + "\n"
