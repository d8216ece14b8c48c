"""The command that scores texts, by their surface or by the losses of a model."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gradatim import verbs
from gradatim.cli.app import (
    AsJson,
    app,
    errors_console,
    print_json,
    print_pairs,
    print_table,
    say,
)

if TYPE_CHECKING:
    from gradatim.blocks.model_scores import ScoreTable
    from gradatim.scoring.score import Scored


class Mask(StrEnum):
    """What the median of `salt_ds` does with a token outside the top k."""

    zeroed = "zeroed"
    dropped = "dropped"


_OF_A_CORPUS = {
    "out", "unit", "metrics", "counts", "tokenizer", "workers", "engine", "ray_address",
    "text_column", "id_column", "source_column", "level_column", "on_bad", "bands", "report",
}  # fmt: skip
_OF_BLOCKS = {
    "and_run", "checkpoint", "and_checkpoint", "top_k", "mask", "name", "split", "replace",
}  # fmt: skip


@app.command()
def score(
    context: typer.Context,
    corpus: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders or globs; hf://owner/name; or URLs such as s3://bucket/folder. "
            "With --with: a block store.",
            metavar="CORPUS",
        ),
    ],
    out: Annotated[
        str | None, typer.Option("--out", help="The scores folder, here or a URL.")
    ] = None,
    unit: Annotated[str, typer.Option(help="What gets a row: passage or document.")] = "passage",
    metrics: Annotated[
        str | None,
        typer.Option(help="Columns, with commas between; default: what one pass gives; all."),
    ] = None,
    counts: Annotated[
        bool, typer.Option("--counts", help="Also write the counts behind the metrics.")
    ] = False,
    tokenizer: Annotated[
        Path | None, typer.Option(help="A tokenizer.json, for tokens_per_word.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", "--processes", min=1, help="Threads [one a core]."),
    ] = None,
    engine: Annotated[str, typer.Option(help="local, or ray (extra ray).")] = "local",
    ray_address: Annotated[str | None, typer.Option(help="Of a running Ray cluster.")] = None,
    text_column: Annotated[str | None, typer.Option(help="Column of the text.")] = None,
    id_column: Annotated[str | None, typer.Option(help="Column of the document id.")] = None,
    source_column: Annotated[str | None, typer.Option(help="Column of a source.")] = None,
    level_column: Annotated[str | None, typer.Option(help="Column of a level.")] = None,
    on_bad: Annotated[str, typer.Option(help="stop, or skip and list.")] = "stop",
    bands: Annotated[int, typer.Option(help="Bands whose edges are given.")] = 10,
    report: Annotated[
        bool, typer.Option("--report", help="Also write FOLDER/report.html.")
    ] = False,
    with_run: Annotated[
        Path | None, typer.Option("--with", help="Score a store's blocks with this run.")
    ] = None,
    and_run: Annotated[
        Path | None,
        typer.Option(
            "--and",
            help="Second run, subtracted: excess_loss; the same run later: learnability.",
        ),
    ] = None,
    checkpoint: Annotated[
        str, typer.Option(help="Of --with: last, a number of steps, or a progress such as 0.1.")
    ] = "last",
    and_checkpoint: Annotated[str, typer.Option(help="Of --and, likewise.")] = "last",
    top_k: Annotated[int, typer.Option(help="k of salt_ds; 0 leaves the column out.")] = 10,
    mask: Annotated[
        Mask, typer.Option(help="A token outside the top k is zeroed or dropped.")
    ] = Mask.zeroed,
    name: Annotated[
        str | None, typer.Option(help="Of the model's columns [the run folder's name].")
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="Whose blocks; again for more [train].")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Overwrite other columns of that name.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Score how hard texts are, by their surface or to a model; a killed one goes on.

    Example: gradatim score books.parquet --out scores/books --report

    Example: gradatim score stores/books --with runs/small --top-k 10
    """
    _check_effect(context, scores_blocks=with_run is not None)
    if with_run is not None:
        if len(corpus) != 1:
            raise typer.BadParameter("with --with, give one block store")
        table = verbs.score_blocks(
            corpus[0],
            with_run,
            name=name,
            checkpoint=checkpoint,
            and_run=and_run,
            and_checkpoint=and_checkpoint,
            top_k=top_k or None,
            mask=mask.value,
            splits=tuple(split or ["train"]),
            replace=replace,
            console=errors_console,
        )
        _print_score_table(table, as_json=as_json)
        return
    if out is None:
        raise typer.BadParameter("give --out FOLDER for a corpus, or --with RUN for a block store")
    if report and "://" in out.removeprefix("file://"):
        raise typer.BadParameter("--report writes beside the scores: give an --out on this machine")
    settings: dict[str, Any] = {
        "corpus": corpus,
        "text_column": text_column,
        "id_column": id_column,
        "source_column": source_column,
        "level_column": level_column,
        "on_bad": on_bad,
        "unit": unit,
        "counts": counts,
        "tokenizer": None if tokenizer is None else str(tokenizer),
        "num_bands": bands,
    }
    if metrics is not None:
        settings["metrics"] = _metric_names(metrics, has_tokenizer=tokenizer is not None)
    scored = verbs.score(
        settings,
        out,
        num_workers=workers,
        engine=engine,
        ray_address=ray_address,
        console=errors_console,
    )
    page = verbs.score_report(out) if report else None
    _print_scores(scored, out, page, as_json=as_json)


def _check_effect(context: typer.Context, *, scores_blocks: bool) -> None:
    """Refuses options that belong to the other of the two things to score."""
    without_effect = _OF_A_CORPUS if scores_blocks else _OF_BLOCKS
    mode, other = "--with RUN, which scores a store's blocks", "a corpus, which is scored to --out"
    if not scores_blocks:
        mode, other = other, mode
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        is_given = source is not None and source.name == "COMMANDLINE"
        if is_given and parameter.name in without_effect:
            option = parameter.opts[0]
            raise typer.BadParameter(f"{option} has no effect with {mode}; it belongs to {other}")


def _metric_names(asked: str, *, has_tokenizer: bool) -> list[str]:
    """The names between commas; `default` and `all` stand for several."""
    from gradatim.difficulty.surface import ALL_METRICS, DEFAULT_METRICS, TOKENS_PER_WORD
    from gradatim.scoring.columns import CORPUS_RARITY

    everything = [name for name in ALL_METRICS if has_tokenizer or name != TOKENS_PER_WORD]
    groups = {"default": list(DEFAULT_METRICS), "all": [*everything, CORPUS_RARITY]}
    names = [name.strip() for name in asked.split(",") if name.strip()]
    return list(dict.fromkeys(one for name in names for one in groups.get(name, [name])))


def _print_score_table(table: ScoreTable, *, as_json: bool) -> None:
    if as_json:
        print_json(table.model_dump(mode="json"))
        return
    print_pairs(
        f"Scores {table.name}",
        {
            "metrics": ", ".join(f"{table.name}/{column}" for column in table.columns),
            "num_blocks": table.num_blocks,
            "num_null": table.num_null,
            "scoring_flops": table.scoring_flops,
            "reference_flops": table.reference_flops,
            "fingerprint": table.fingerprint,
        },
    )


def _print_scores(scored: Scored, out: str, page: Path | None, *, as_json: bool) -> None:
    from gradatim.scoring.reading import read_description
    from gradatim.scoring.table import COLUMNS, as_rows, facts_of, sentences

    content = read_description(out)
    facts = facts_of(content, scored)
    if as_json:
        print_json({"folder": out, **facts, "report": None if page is None else str(page)})
        return
    print_table(COLUMNS, as_rows(facts))
    for sentence in sentences(facts, content["unit"]):
        say(sentence)
    say(f"Scores: {out}" if page is None else f"Report: {page}")
