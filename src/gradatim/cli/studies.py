"""Commands from a store to runs, from runs to a report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gradatim import verbs
from gradatim.cli.app import (
    AsJson,
    Changes,
    app,
    errors_console,
    print_json,
    print_pairs,
    print_table,
    say,
    short,
)

StudyFolder = Annotated[Path, typer.Argument(help="The folder of a study.", metavar="FOLDER")]
RunFolder = Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")]


Checkpoint = Annotated[
    str,
    typer.Option(help="Whose weights: last, a number of steps, or a progress such as 0.1."),
]
Weights = Annotated[
    str | None,
    typer.Option(help="The trained `weights`, or an average by its name [the run's outcome]."),
]


@app.command()
def train(
    store: Annotated[Path, typer.Argument(help="A block store.", metavar="STORE")],
    out: Annotated[Path, typer.Option("--out", help="The run folder.")],
    rung: Annotated[
        str | None, typer.Option(help="A rung of the ladder, such as 200k [a study's only one].")
    ] = None,
    tokens: Annotated[
        float | None, typer.Option(help="Budget: FLOPs for this many tokens [a study's own].")
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(help="YAML of the four timelines, or a study to train one arm of."),
    ] = None,
    arm: Annotated[
        str | None, typer.Option(help="Of a study [its only one beside uniform].")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights and order.")] = 0,
    batch_blocks: Annotated[
        int | None, typer.Option(help="Blocks in one step [a study's, or 16].")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Of one operation [one, or all for a large network].")
    ] = None,
    changes: Changes = None,
    as_json: AsJson = False,
) -> None:
    """Train one run; the same command again goes on where it was killed.

    Example: gradatim train stores/books --rung 200k --tokens 2e6 --out runs/first
    """
    record = verbs.train(
        store,
        rung=rung,
        tokens=tokens,
        folder=out,
        recipe_file=recipe,
        arm=arm,
        seed=seed,
        batch_blocks=batch_blocks,
        num_threads=threads,
        changes=changes or (),
        console=errors_console,
    )
    assert record.finish is not None
    if as_json:
        print_json(record.finish)
        return
    keys = ("step", "tokens", "flops", "final_bits_per_byte", "matches_plan")
    print_pairs(f"Run {out}", {key: record.finish.get(key) for key in keys})


@app.command()
def compare(
    folder: StudyFolder,
    weights: Annotated[
        str | None,
        typer.Option(help="Weights to judge: weights, or an average [each run's own outcome]."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare arms at equal compute, paired by seed, against their controls.

    Example: gradatim compare out/demo
    """
    comparison = verbs.compare(folder, weights=weights)
    if as_json:
        print_json(json.loads(comparison.to_json()))
        return
    for sentence in comparison.sentences():
        say(sentence)


@app.command()
def fit(folder: StudyFolder, as_json: AsJson = False) -> None:
    """Fit loss against size and compute, for every arm.

    Example: gradatim fit out/demo
    """
    from gradatim.law.fit import laws_to_json

    laws = verbs.fit(folder)
    if as_json:
        print_json(json.loads(laws_to_json(laws)))
        return
    for law in laws:
        say(str(law))


@app.command()
def report(
    folder: StudyFolder,
    out: Annotated[
        Path | None, typer.Option("--out", help="The HTML file [FOLDER/report.html].")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the page that answers the study's question.

    Example: gradatim report out/demo
    """
    page = verbs.report(folder, out)
    if as_json:
        print_json({"report": str(page), "data": str(page.with_name(f"{page.stem}-data"))})
        return
    say(page)


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="A store, a run, or the folder of a study.")],
    as_json: AsJson = False,
) -> None:
    """Read a store, a run or a study whole and say what is damaged.

    Example: gradatim check out/demo
    """
    found = verbs.check(folder)
    damaged = [checked.error for checked in found if checked.error is not None]
    if as_json:
        print_json([{"part": str(c.part), "error": c.error and str(c.error)} for c in found])
    else:
        for checked in found:
            say(f"damaged  {checked.error}" if checked.error else f"whole    {checked.part}")
    if damaged:
        raise typer.Exit(damaged[0].exit_code)


@app.command()
def evaluate(
    run: RunFolder,
    checkpoint: Checkpoint = "last",
    weights: Weights = None,
    num_blocks: Annotated[int, typer.Option(help="Held-out blocks.")] = 512,
    num_tasks: Annotated[
        int | None, typer.Option(help="Task items a split and level [200, if there are tasks].")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure a run's weights on a larger held-out set.

    Example: gradatim evaluate out/demo/runs/0123456789abcdef
    """
    result = verbs.evaluate(
        run, checkpoint=checkpoint, weights=weights, num_blocks=num_blocks, num_tasks=num_tasks
    )
    if as_json:
        print_json(result)
        return
    print_pairs("bits per byte", result["bits_per_byte"])
    if result.get("tasks"):
        columns = ("task", "accuracy", "probability", "chance", "items")
        print_table(
            columns,
            [
                (name, *(f"{row[key]:.3f}" for key in columns[1:4]), f"{row['num_items']:.0f}")
                for name, row in result["tasks"].items()
            ],
        )


@app.command()
def explain(
    run: RunFolder,
    step: Annotated[int, typer.Option(help="Which step, counted from 1.")],
    as_json: AsJson = False,
) -> None:
    """Print the texts, difficulties and losses of one step.

    Example: gradatim explain out/demo/runs/0123456789abcdef --step 100
    """
    rows = verbs.explain(run, step)
    if as_json:
        print_json(rows)
        return
    for row in rows:
        facts = {key: value for key, value in row.items() if key != "text"}
        say("  ".join(f"{key} {short(value)}" for key, value in facts.items()))
        say(f"    {' '.join(row['text'].split())[:300]}")


@app.command()
def export(
    run: RunFolder,
    out: Annotated[Path, typer.Option("--out", help="The folder to write.")],
    checkpoint: Checkpoint = "last",
    weights: Weights = None,
) -> None:
    """Write a run's weights as a Hugging Face folder.

    Example: gradatim export out/demo/runs/0123456789abcdef --out hf/demo
    """
    say(verbs.export(run, out, checkpoint=checkpoint, weights=weights))
