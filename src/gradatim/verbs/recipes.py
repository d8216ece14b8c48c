"""The recipes that come with gradatim."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradatim.recipes.cost import RungCost
    from gradatim.recipes.published import PublishedRecipe


def recipes() -> list[PublishedRecipe]:
    """Every recipe: name, one line, source, and its text, a study in YAML."""
    from gradatim.recipes.published import published_recipes

    return published_recipes()


def recipe(name: str) -> PublishedRecipe:
    """One recipe by its name.

    Raises:
        SpecError: there is none of that name.
    """
    from gradatim.recipes.published import published_recipe

    return published_recipe(name)


def recipe_cost(name: str) -> list[RungCost]:
    """What one run of a recipe costs, rung by rung, and how many runs its study has.

    Raises:
        SpecError: there is none of that name.
    """
    from gradatim.recipes.cost import cost
    from gradatim.settings import read_yaml
    from gradatim.study.spec import parse_study

    return cost(parse_study(read_yaml(recipe(name).text, where=name), where=name))
