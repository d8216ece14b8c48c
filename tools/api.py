"""Write docs/api.md from the signatures and docstrings of the package.

python tools/api.py
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docstrings import entries, parts
from gradatim import errors, verbs
from gradatim.blocks.store import Store
from gradatim.clock import Clock, lay_out
from gradatim.law.compare import compare
from gradatim.law.comparison import Comparison
from gradatim.law.fit import LawFit, PowerLawFit, fit
from gradatim.recipe import Recipe
from gradatim.record.read import Record, read_records
from gradatim.study.spec import load_study
from gradatim.timelines.data.door import BlockTable, Curriculum
from gradatim.timelines.data.kinds import make_curriculum

PAGE = Path(__file__).parents[1] / "docs" / "api.md"
HEAD = """<!-- Made by `python tools/api.py`: change the docstrings, not the page. -->

# Python

What a program of one's own may call. [Settings](configuration.md) have a page of their own.
"""
SECTIONS: dict[str, list[Any]] = {
    "Verbs": [getattr(verbs, name) for name in verbs.__all__],
    "A curriculum before a loop of one's own": [Curriculum, BlockTable, make_curriculum],
    "Recipes and studies": [Recipe, load_study],
    "Stores and records": [Store, Record, read_records],
    "Laws": [compare, Comparison, fit, LawFit, PowerLawFit],
    "The clock": [lay_out, Clock],
}


class _Plain(str):
    """An annotation, shown as it was written."""

    __repr__ = str.__str__


def signature(thing: Any, name: str, *, width: int = 100) -> str:
    """`name(parameters) -> result`, a parameter a line where `width` does not hold them."""
    found = inspect.signature(thing)
    shown = [
        each.replace(
            annotation=each.empty if each.annotation is each.empty else _Plain(each.annotation),
            default=str(each.default) if isinstance(each.default, Path) else each.default,
        )
        for each in found.parameters.values()
        if each.name not in ("self", "cls") and not each.name.startswith("_")
    ]
    back = "" if inspect.isclass(thing) else found.return_annotation
    arrow = f" -> {back}" if isinstance(back, str) and back not in ("", "None") else ""
    line = f"{name}{inspect.Signature(shown)}{arrow}"
    if len(line) <= width:
        return line
    several = "".join(f"    {part},\n" for part in _parameters(shown))
    return f"{name}(\n{several}){arrow}"


def _parameters(shown: list[inspect.Parameter]) -> Iterator[str]:
    has_star = False
    for each in shown:
        if each.kind is each.KEYWORD_ONLY and not has_star:
            has_star = True
            yield "*"
        yield str(each)


def text_of(thing: Any) -> str:
    """A docstring as Markdown."""
    text = ""
    for heading, lines in parts(thing).items():
        if heading in ("", "Returns"):
            body = "\n".join(lines).strip()
            text += f"{'Returns: ' if heading else ''}{body}\n\n"
        else:
            before = "- raises" if heading == "Raises" else "-"
            text += "".join(f"{before} `{name}`: {said}\n" for name, said in entries(lines)) + "\n"
    return text.strip()


def members(thing: type) -> Iterator[str]:
    """Public methods and properties, in the order of the class."""
    for name, member in vars(thing).items():
        inner = getattr(member, "fget", None) or getattr(member, "func", None)
        inner = inner or getattr(member, "__func__", member)
        if name.startswith("_") or not inspect.isfunction(inner) or not inner.__doc__:
            continue
        is_value = inner is not member and not isinstance(member, classmethod | staticmethod)
        owner = thing.__name__ if isinstance(member, classmethod | staticmethod) else ""
        shown = f".{name}" if is_value else signature(inner, f"{owner}.{name}", width=1000)
        said = " ".join(text_of(inner).replace("\n- raises", "\nRaises").split())
        yield f"- `{shown}`: {said}\n"


def entry(thing: Any) -> str:
    """One function or class."""
    is_class = inspect.isclass(thing)
    text = f"\n### {thing.__name__}\n\n`{thing.__module__}`\n\n"
    if not is_class or thing is BlockTable:  # the other classes are opened or returned
        text += f"```python\n{signature(thing, thing.__name__)}\n```\n\n"
    return text + text_of(thing) + "\n" + ("\n" + "".join(members(thing)) if is_class else "")


def page() -> str:
    """The page."""
    text = HEAD
    for title, things in SECTIONS.items():
        text += f"\n## {title}\n" + "".join(map(entry, things))
    text += "\n## Errors\n\n| error | exit code | meaning |\n| --- | --- | --- |\n"
    for error in vars(errors).values():
        if inspect.isclass(error) and issubclass(error, errors.GradatimError):
            first = " ".join("\n".join(parts(error)[""]).split())
            text += f"| `{error.__name__}` | {error.exit_code} | {first} |\n"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
