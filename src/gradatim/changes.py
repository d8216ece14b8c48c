"""Changes to settings from the command line: `--set a.b=c`, laid over what a file says."""

from __future__ import annotations

import copy
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from gradatim.errors import SpecError
from gradatim.settings import near, one_of, read_yaml_value


@dataclass(frozen=True)
class Holds:
    """Marks a setting that is kept as a plain mapping and read as this model later."""

    model: type[BaseModel]


def with_changes(
    model: type[BaseModel], values: Mapping[str, Any], changes: Sequence[str], *, where: str
) -> dict[str, Any]:
    """Settings with each `a.b=value` set in turn; the values are YAML, the rest stays as it is.

    A mapping that is not there yet is made where the model has it; one that is named by the user,
    such as an arm, must be there already, unless it is set whole.

    Args:
        model: what the settings are read as later.
        values: what the file says.
        changes: `a.b=value`, numbers counting places in lists from 0.
        where: the file, for messages.

    Raises:
        SpecError: no `path=value`, a path to nothing, or a value that is no YAML; with near names.
    """
    changed = copy.deepcopy(dict(values))
    for change in changes:
        path, equals, text = change.partition("=")
        if not equals or not path.strip():
            raise SpecError(
                "is no change of a setting",
                where="--set",
                expected="PATH=VALUE, such as budget.tokens=4e6",
                got=repr(change),
            )
        value = read_yaml_value(text, where=f"--set {path}")
        _set(changed, path.strip(), value, [model], where=where)
    return changed


def _set(holder: Any, path: str, value: Any, kinds: Sequence[Any], *, where: str) -> None:
    """Set what `path` leads to below `holder`, which is read as one of `kinds`."""
    done = ""
    while True:
        part, rest = _next_part(path, holder)
        place = f"{where}, --set {done}{part}"
        kinds = _inner(part, kinds, holder, is_last=not rest, place=place)
        key: Any = part
        if isinstance(holder, list):
            key = int(part) if part.isdigit() else len(holder)
            if key >= len(holder):
                expected = f"a place from 0 to {len(holder) - 1}"
                raise SpecError("no such place in the list", where=place, expected=expected)
        if not rest:
            holder[key] = value
            return
        if not isinstance(holder, list) and holder.get(key) is None:
            holder[key] = {}
        holder = holder[key]
        if not isinstance(holder, dict | list):
            raise SpecError(
                "has no settings of its own here",
                where=place,
                expected="a mapping or a list",
                got=repr(holder),
                remedy=f"Set it whole: --set {done}{part}=...",
            )
        done, path = f"{done}{part}.", rest


def _next_part(path: str, holder: Any) -> tuple[str, str]:
    """The name before the first dot, or a longer one that is there: names may hold dots."""
    there = [str(key) for key in holder] if isinstance(holder, Mapping) else []
    for name in sorted(there, key=len, reverse=True):
        if path == name or path.startswith(f"{name}."):
            return name, path[len(name) + 1 :]
    part, _, rest = path.partition(".")
    return part, rest


def _inner(part: str, kinds: Sequence[Any], holder: Any, *, is_last: bool, place: str) -> list[Any]:
    """What lies under a name, given what its holder is read as; refuses names that lead nowhere."""
    models: list[type[BaseModel]] = [kind for kind in kinds if isinstance(kind, type)]
    fields = [model.model_fields[part] for model in models if part in model.model_fields]
    if fields:
        return [k for f in fields for k in _kinds(Annotated[f.annotation, *f.metadata, None])]
    if models and isinstance(holder, Mapping):
        known = list(dict.fromkeys(name for model in models for name in model.model_fields))
        raise SpecError(
            "unknown setting", where=place, expected=one_of(known), got=part,
            remedy=near(part, known),
        )  # fmt: skip
    if isinstance(holder, Mapping) and part not in holder and not is_last:
        known = [str(key) for key in holder]
        raise SpecError(
            "nothing of that name", where=place, expected=one_of(known), got=part,
            remedy=near(part, known),
        )  # fmt: skip
    return [k for kind in kinds for inner in get_args(kind) for k in _kinds(inner)]


def _kinds(annotation: Any) -> Iterator[Any]:
    """The models, or else the mappings and lists, that an annotation allows."""
    arguments = get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is Annotated:
        marked = [mark.model for mark in arguments[1:] if isinstance(mark, Holds)]
        yield from marked or _kinds(arguments[0])
    elif get_origin(annotation) in (Union, types.UnionType):
        for inner in arguments:
            yield from _kinds(inner)
    elif arguments:
        yield annotation
