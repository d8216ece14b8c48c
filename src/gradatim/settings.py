"""Settings: from YAML to a validated value, or to one line that says what is wrong with it.

Everything a user writes down (recipes, studies, stores) comes through here, so that a misspelt
setting is always answered the same way: where it is, what there is instead, and the nearest name.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gradatim.errors import SpecError

Model = TypeVar("Model", bound=BaseModel)


def read_yaml_file(path: Path) -> dict[str, Any]:
    """The mapping a YAML file holds.

    Raises:
        SpecError: a file that cannot be read, or what `read_yaml` raises.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecError("no such file", where=str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError("cannot be read", where=str(path), got=str(error)) from None
    return read_yaml(text, where=str(path))


class _OnceLoader(yaml.SafeLoader):
    """Safe YAML in which a key given twice is an error instead of a silent choice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if str(key) in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key} is given twice", key_node.start_mark
                )
            seen.add(str(key))
        return super().construct_mapping(node, deep)


def read_yaml(text: str, *, where: str) -> dict[str, Any]:
    """The mapping that YAML text holds; an empty text is an empty mapping.

    Raises:
        SpecError: text that is no YAML, no mapping, or has a key twice; with the line.
    """
    try:
        values = yaml.load(text, _OnceLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise SpecError(f"is not usable YAML: {problem}", where=f"{where}{line}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SpecError(
            "is not a set of settings",
            where=where,
            expected="a mapping, `setting: value`",
            got=type(values).__name__,
        )
    return values


def validated(model: type[Model], values: Mapping[str, Any], *, where: str) -> Model:
    """`values` as a `model`, or the first thing wrong with them in one line.

    Raises:
        SpecError: naming the path to the setting, what was expected, what came, and what is near.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        details = error.errors()
        misspelt = [detail for detail in details if detail["type"] == "extra_forbidden"]
        raise _spec_error(model, (misspelt or details)[0], where) from None


def _spec_error(model: type[BaseModel], detail: ErrorDetails, where: str) -> SpecError:
    path, models = _walk(model, detail["loc"])
    context = detail.get("ctx", {})
    remedy = expected = None
    got: str | None = shorten(repr(detail["input"]), 80, placeholder=" ...")
    match detail["type"]:
        case "extra_forbidden":
            _, owners = _walk(model, detail["loc"][:-1])
            known = [name for owner in owners for name in owner.model_fields]
            got = str(detail["loc"][-1])
            problem, expected, remedy = "unknown setting", _one_of(known), _near(got, known)
        case "missing":
            problem, got = "setting is missing", None
        case "union_tag_invalid" | "union_tag_not_found":
            path = [*path, "kind"]
            known = [str(member.model_fields["kind"].default) for member in models]
            tag = str(context.get("tag", "none"))
            problem, expected, got, remedy = "unknown kind", _one_of(known), tag, _near(tag, known)
        case "literal_error":
            known = re.findall(r"'([^']*)'", context["expected"])
            problem, expected = "unknown value", _one_of(known)
            remedy = _near(str(detail["input"]), known)
        case "value_error":
            problem, got = detail["msg"].removeprefix("Value error, "), None
        case "model_type" | "model_attributes_type":
            problem, expected = "wrong value", "a mapping, `setting: value`"
        case _:
            problem, expected = "wrong value", detail["msg"].removeprefix("Input should be ")
    place = ".".join(str(part) for part in path)
    return SpecError(
        problem,
        where=f"{where}: {place}" if place else where,
        expected=expected,
        got=got,
        remedy=remedy,
    )


def _walk(
    model: type[BaseModel], location: Sequence[int | str]
) -> tuple[list[int | str], list[type[BaseModel]]]:
    """The path as the user wrote it (pydantic adds the kinds of unions), and the models there."""
    path: list[int | str] = []
    models = [model]
    for part in location:
        if part == "str" or part in {m.__name__ for m in models}:  # a tag, as unions here have them
            continue
        of_kind = [m for m in models if "kind" in m.model_fields and len(models) > 1]
        of_kind = [m for m in of_kind if m.model_fields["kind"].default == part]
        if of_kind:
            models = of_kind
            continue
        path.append(part)
        fields = [m.model_fields[part] for m in models if part in m.model_fields]
        if fields:
            models = [m for field in fields for m in _models_in(field.annotation)]
    return path, models


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _one_of(known: Sequence[str]) -> str:
    return f"one of {', '.join(known)}" if len(known) != 1 else known[0]


def _near(got: str, known: Sequence[str]) -> str | None:
    near = difflib.get_close_matches(got, known, n=1)
    return f"Did you mean {near[0]}?" if near else None
