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

MAX_FILE_BYTES = 10_000_000
MAX_VALUES = 100_000
"""In one file of settings, after its aliases are unfolded."""


def read_yaml_file(path: Path) -> dict[str, Any]:
    """The mapping a YAML file holds.

    Raises:
        SpecError: no file of a size that settings have, or what `read_yaml` raises.
    """
    try:
        if not path.exists():
            raise SpecError("no such file", where=str(path))
        if not path.is_file():  # reading a pipe or a device might never end
            raise SpecError("is no file of settings", where=str(path), expected="a YAML file")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SpecError(
                "is too large for settings",
                where=str(path),
                expected=f"at most {MAX_FILE_BYTES:,} bytes",
            )
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise SpecError("cannot be read", where=str(path), got=str(error)) from None
    return read_yaml(text, where=str(path))


def read_yaml(text: str, *, where: str) -> dict[str, Any]:
    """The mapping that YAML text holds; an empty text is an empty mapping.

    Raises:
        SpecError: text that is no YAML, no mapping, has a key twice or one that YAML takes for
            something else than text, or would unfold beyond measure; with the line.
    """
    values = read_yaml_value(text, where=where)
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


def read_yaml_value(text: str, *, where: str) -> Any:
    """Any one value that YAML text holds; raises as `read_yaml` does."""
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check_node(node, {}, set())
        return loader.construct_document(node)
    except RecursionError:
        raise SpecError("is nested too deep", where=where) from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that is none
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise SpecError(f"is not usable YAML: {problem}", where=f"{where}{line}") from None


def _check_node(node: yaml.Node, sizes: dict[int, int], above: set[int]) -> int:
    """How many values a node unfolds to, aliases counted wherever they stand; a few keys mended.

    A number as a key is the text it is written as: levels may be called 1, 2, 3.
    """
    if id(node) in above:
        raise yaml.constructor.ConstructorError(None, None, "a value holds itself", node.start_mark)
    if id(node) in sizes:
        return sizes[id(node)]
    above.add(id(node))
    size = 1
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            name = _key_text(key)
            if name in seen:
                problem = f"{name} is given twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(name)
            size += _check_node(value, sizes, above)
    elif isinstance(node, yaml.SequenceNode):
        size += sum(_check_node(value, sizes, above) for value in node.value)
    if size > MAX_VALUES:
        problem = f"its aliases unfold to more than {MAX_VALUES:,} values"
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
    above.remove(id(node))
    sizes[id(node)] = size
    return size


def _key_text(key: yaml.Node) -> str:
    kind = key.tag.rpartition(":")[2]
    if not isinstance(key, yaml.ScalarNode):
        problem = "a key is no text"
        raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
    if kind in ("int", "float"):
        key.tag = "tag:yaml.org,2002:str"
    elif kind not in ("str", "merge"):
        problem = f"YAML does not take {key.value or 'nothing'} for a name; quote it: '{key.value}'"
        raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
    return str(key.value)


def validated(
    model: type[Model], values: Mapping[str, Any], *, where: str, inside: str = ""
) -> Model:
    """`values` as a `model`, or the first thing wrong with them in one line.

    Args:
        model: what they are.
        values: as the user wrote them.
        where: the file, or what else to begin the message with.
        inside: path to these settings among those of the file.

    Raises:
        SpecError: naming the path to the setting, what was expected, what came, and what is near.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        details = error.errors()
        misspelt = [detail for detail in details if detail["type"] == "extra_forbidden"]
        raise _spec_error(model, (misspelt or details)[0], where, inside) from None


def _spec_error(model: type[BaseModel], detail: ErrorDetails, where: str, inside: str) -> SpecError:
    path, models = _walk(model, detail["loc"])
    context = detail.get("ctx", {})
    remedy = expected = None
    got: str | None = shorten(repr(detail["input"]), 80, placeholder=" ...")
    match detail["type"]:
        case "extra_forbidden":
            _, owners = _walk(model, detail["loc"][:-1])
            known = [name for owner in owners for name in owner.model_fields]
            got = str(detail["loc"][-1])
            problem, expected, remedy = "unknown setting", one_of(known), near(got, known)
        case "missing":
            problem, got = "setting is missing", None
        case "union_tag_invalid" | "union_tag_not_found":
            path = [*path, "kind"]
            known = [str(member.model_fields["kind"].default) for member in models]
            tag = str(context.get("tag", "none"))
            problem, expected, got, remedy = "unknown kind", one_of(known), tag, near(tag, known)
        case "literal_error":
            known = re.findall(r"'([^']*)'", context["expected"])
            problem, expected = "unknown value", one_of(known)
            remedy = near(str(detail["input"]), known)
        case "value_error":
            problem, got = detail["msg"].removeprefix("Value error, "), None
        case "model_type" | "model_attributes_type":
            problem, expected = "wrong value", "a mapping, `setting: value`"
        case _:
            problem, expected = "wrong value", detail["msg"].removeprefix("Input should be ")
            expected = expected.replace("a valid tuple", "a list")
            expected = expected.replace("a valid dictionary", "a mapping, `setting: value`")
    place = ".".join(str(part) for part in [*([inside] if inside else []), *path])
    return SpecError(
        problem,
        where=": ".join(part for part in (where, place) if part),
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


def one_of(known: Sequence[str]) -> str:
    """Names as a message lists what would have been right."""
    return f"one of {', '.join(known)}" if len(known) != 1 else known[0]


def near(got: str, known: Sequence[str]) -> str | None:
    """The remedy for a misspelt name, where there is a near one."""
    near = difflib.get_close_matches(got, known, n=1)
    return f"Did you mean {near[0]}?" if near else None
