"""Commands that list, print and price the recipes that come with gradatim."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from gradatim import verbs
from gradatim.cli.app import AsJson, app, print_json, print_table, say
from gradatim.report.wording import count, data_size, flops

COST_COLUMNS = (
    *("rung", "parameters", "compute", "tokens", "steps", "memory", "H100-hours", "runs"),
)
DEVICE_BYTES = 80e9

recipes_app = typer.Typer(rich_markup_mode=None)
app.add_typer(recipes_app, name="recipes")

Name = Annotated[str, typer.Argument(help="Of the recipe.", metavar="NAME")]


@recipes_app.callback(invoke_without_command=True)
def recipes(context: typer.Context, as_json: AsJson = False) -> None:
    """List the recipes that come with gradatim: published methods, and ours.

    Example: gradatim recipes
    """
    if context.invoked_subcommand is not None:
        return
    found = verbs.recipes()
    if as_json:
        print_json([{"name": r.name, "summary": r.summary, "source": r.source} for r in found])
        return
    print_table(("recipe", "what it is", "source"), [(r.name, r.summary, r.source) for r in found])


@recipes_app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Print a recipe: YAML that `study` and `train --recipe` take.

    Example: gradatim recipes show lfr-gpt2-124m
    """
    found = verbs.recipe(name)
    if as_json:
        print_json(asdict(found))
        return
    typer.echo(found.text, nl=False)


def _hours(hours: float) -> str:
    return f"{hours:.3g}" if hours >= 0.01 else "< 0.01"


@recipes_app.command()
def cost(name: Name, as_json: AsJson = False) -> None:
    """Print what one run of a recipe costs, and how many its study has; trains nothing.

    Example: gradatim recipes cost lfr-gpt2-124m
    """
    from gradatim.recipes.cost import H100_FLOPS_PER_SECOND, UTILISATION

    found = verbs.recipe_cost(name)
    if as_json:
        print_json([asdict(each) for each in found])
        return
    rows = [
        (
            *(each.rung, count(each.num_parameters), f"{flops(each.flops)}FLOP"),
            *(count(each.num_tokens), count(each.num_steps), data_size(each.memory_bytes)),
            *(_hours(each.device_hours), str(each.num_runs)),
        )
        for each in found
    ]
    print_table(COST_COLUMNS, rows)
    say(
        f"Of one run. Hours are at {UTILISATION:.0%} of {H100_FLOPS_PER_SECOND / 1e12:.0f} TFLOP/s "
        "(bfloat16, dense), an assumption; memory is of one device that holds all weights."
    )
    for each in found:
        if each.memory_bytes > DEVICE_BYTES:
            say(f"{each.rung} is more than the {data_size(DEVICE_BYTES)} of an H100 hold.")
