"""The recipes there are: study files beside this module, read as they are.

A file begins with one line that says what it is and one that says where it is from; the comments
below them tell what is published, what is ours and what was not found.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

from gradatim.errors import SpecError
from gradatim.settings import near, one_of

ENDING = ".yaml"
SOURCE = "# Source: "


@dataclass(frozen=True)
class PublishedRecipe:
    """One recipe.

    Attributes:
        name: of its file, without the ending, and of its study.
        summary: what it is, one line.
        source: a paper by its arXiv number, or ours.
        text: the file: a study in YAML, with its comments.
    """

    name: str
    summary: str
    source: str
    text: str


def published_recipes() -> list[PublishedRecipe]:
    """All of them, by name."""
    files = resources.files("gradatim.recipes").iterdir()
    found = [file for file in files if file.name.endswith(ENDING)]
    return [
        _read(file.name.removesuffix(ENDING), file.read_text(encoding="utf-8"))
        for file in sorted(found, key=lambda file: file.name)
    ]


def published_recipe(name: str) -> PublishedRecipe:
    """One of them.

    Raises:
        SpecError: there is none of that name.
    """
    recipes = {recipe.name: recipe for recipe in published_recipes()}
    if name not in recipes:
        known = list(recipes)
        raise SpecError(
            "no such recipe", where=name, expected=one_of(known), remedy=near(name, known)
        )
    return recipes[name]


def _read(name: str, text: str) -> PublishedRecipe:
    summary, source = text.splitlines()[:2]
    assert source.startswith(SOURCE), f"{name}: its second line names no source"
    return PublishedRecipe(name, summary.removeprefix("# "), source.removeprefix(SOURCE), text)
