"""Commands that tell what a study costs, run it, and tell how far it is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradatim import verbs
from gradatim.cli.app import AsJson, Changes, app, errors_console, print_json, print_table, say
from gradatim.record.naming import cell_name
from gradatim.report.wording import count, data_size, duration, flops, percent

if TYPE_CHECKING:
    from gradatim.study.folder import RunState
    from gradatim.study.plan import PlannedRun, StudyPlan

PLAN_COLUMNS = (
    *("rung", "arm", "seeds", "parameters", "compute", "tokens", "steps", "passes", "memory"),
    *("time", "evaluation"),
)
STATUS_COLUMNS = ("arm", "rung", "seed", "budget", "state", "done", "to go", "folder")

StudyFile = Annotated[Path, typer.Argument(help="The study file.", metavar="STUDY.yaml")]
StudyOut = Annotated[Path | None, typer.Option("--out", help="The study's folder [out/<name>].")]


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--out", help="Where everything goes.")] = Path(
        "out/demo"
    ),
    changes: Changes = None,
) -> None:
    """Run the whole way once on the graded world and write a report.

    Example: gradatim demo
    """
    path = verbs.demo(folder, changes=changes or (), console=errors_console)
    comparison = verbs.compare(folder)
    say(comparison.headline)
    say(f"Report: {path}")


@app.command()
def plan(
    study_file: StudyFile,
    out: StudyOut = None,
    noise: Annotated[
        float | None, typer.Option(min=1e-9, help="Scatter of runs, bits per byte [a guess].")
    ] = None,
    pilot: Annotated[
        Path | None, typer.Option(help="A finished study whose scatter to take.")
    ] = None,
    effect: Annotated[
        float | None, typer.Option(min=1e-9, help="An effect to tell the seeds for.")
    ] = None,
    changes: Changes = None,
    as_json: AsJson = False,
) -> None:
    """Print what every run of a study will cost and what it will see, before anything is spent.

    Example: gradatim plan studies/books-reading-age.yaml --effect 0.01
    """
    if noise is not None and pilot is not None:
        raise typer.BadParameter("give --noise or --pilot, not both")
    planned = verbs.plan(study_file, out, changes=changes or ())
    seen = verbs.sight(study_file, noise=noise, pilot=pilot, effect=effect, changes=changes or ())
    if as_json:
        print_json(planned.to_dict() | {"sight": seen.model_dump()})
        return
    print_table(PLAN_COLUMNS, [_plan_row(run) for run in planned.runs])
    for sentence in (*plan_sentences(planned), *seen.sentences()):
        say(sentence)


def plan_sentences(planned: StudyPlan) -> list[str]:
    """What is said below the table of a plan."""
    total = (
        f"{planned.num_runs} runs, {flops(planned.flops)}FLOP, about {duration(planned.seconds)} "
        f"here with {planned.num_processes} at a time; "
        f"{percent(planned.evaluation_share)} of the runs' time is evaluation."
    )
    if planned.build_seconds:
        total += f" Building the store takes about {duration(planned.build_seconds)} of it."
    return [total, *planned.remarks]


def _plan_row(run: PlannedRun) -> tuple[str, ...]:
    arm = cell_name(run.arm, run.schedule) + (", search" if run.is_search else "")
    arm = arm if run.budget_multiple == 1 else f"{arm} x{run.budget_multiple:g}"
    return (
        *(run.rung, arm, str(run.num_seeds), count(run.num_parameters)),
        *(f"{flops(run.flops)}FLOP", count(run.tokens), count(run.num_steps)),
        *("–" if run.passes is None else f"{run.passes:.2g}", data_size(run.memory_bytes)),
        *(duration(run.seconds), percent(run.evaluation_seconds / run.seconds)),
    )


@app.command()
def study(
    study_file: StudyFile,
    out: StudyOut = None,
    processes: Annotated[int | None, typer.Option(help="Runs at a time.")] = None,
    threads: Annotated[int | None, typer.Option(help="Of each run.")] = None,
    changes: Changes = None,
    as_json: AsJson = False,
) -> None:
    """Train every run of a study; finished runs are skipped, killed ones go on.

    Example: gradatim study studies/books-reading-age.yaml
    """
    result = verbs.study(
        study_file,
        out,
        num_processes=processes,
        num_threads=threads,
        changes=changes or (),
        console=errors_console,
    )
    if as_json:
        print_json(
            {
                "folder": str(result.folder),
                "finished": len(result.records),
                "failures": list(result.failures),
            }
        )
    else:
        say(f"{len(result.records)} runs finished, {len(result.failures)} failed")
        say(f"Next: gradatim report {result.folder}")
    if result.failures:
        raise typer.Exit(7)


@app.command()
def status(
    folder: Annotated[Path, typer.Argument(help="The folder of a study.", metavar="FOLDER")],
    as_json: AsJson = False,
) -> None:
    """Say how far a study is: which runs are finished, running, failed, stopped, waiting.

    Example: gradatim status out/demo
    """
    found = verbs.status(folder)
    if as_json:
        print_json(found.to_dict())
        return
    print_table(STATUS_COLUMNS, [_status_row(each, found.remaining_of) for each in found.states])
    for each in found.states:
        if each.state == "failed":
            say(str(each))
    counts = Counter(each.state for each in found.states)
    told = ", ".join(f"{number} {state}" for state, number in counts.items())
    at_it = f"process {found.holder} is at it" if found.holder else "nobody is at it"
    to_go = found.remaining_seconds
    more = "" if to_go is None else f", about {duration(to_go)} to go"
    say(f"{len(found.states)} runs: {told}; {at_it}{more}")


def _status_row(each: RunState, remaining_of: dict[str, float]) -> tuple[str, ...]:
    run, seconds = each.run, remaining_of.get(each.run.id)
    to_go = "" if seconds is None else duration(seconds)
    budget = f"x{run.budget_multiple:g}"
    arm = cell_name(run.arm, run.schedule, is_tuned=run.is_tuned)
    place = (arm, run.rung, str(run.seed), budget)
    return (*place, each.state, f"{each.progress:.0%}", to_go, f"runs/{run.folder}")
