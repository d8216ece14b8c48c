"""How hard texts are: to people, by their surface, or to a model that was trained."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console

from gradatim.errors import SpecError
from gradatim.progress import stage_progress
from gradatim.settings import validated

if TYPE_CHECKING:
    from gradatim.blocks.model_scores import ScoreTable
    from gradatim.scoring.score import Scored
    from gradatim.scoring.spec import ScoringSpec


def score(
    spec: ScoringSpec | Mapping[str, Any],
    out: Path | str,
    *,
    num_workers: int | None = None,
    engine: str = "local",
    ray_address: str | None = None,
    console: Console | None = None,
) -> Scored:
    """Score the texts of a corpus, or go on with a killed scoring.

    Args:
        spec: the corpus and the metrics; a mapping is validated first.
        out: the scores folder, here or at a URL that fsspec knows.
        num_workers: threads, one a core by default; for Ray, items in work at a time.
        engine: "local" or "ray".
        ray_address: of a Ray cluster; by default one is started here.
        console: shows progress.

    Raises:
        InputError: the corpus cannot be read as asked.
        MismatchError: other scores lie at `out`.
        MissingExtraError: Ray is not installed.
        SpecError: the settings cannot be meant.
    """
    from gradatim.scoring.engines import LocalEngine, RayEngine
    from gradatim.scoring.score import score as score_corpus
    from gradatim.scoring.spec import ScoringSpec

    if not isinstance(spec, ScoringSpec):
        spec = validated(ScoringSpec, spec, where="score")
    if engine not in ("local", "ray"):
        raise SpecError("no such engine", where="engine", expected="local or ray", got=engine)
    if ray_address is not None and engine != "ray":
        raise _without_effect("ray_address", "engine ray")
    workers = RayEngine(ray_address, num_workers) if engine == "ray" else LocalEngine(num_workers)
    load_kernel(console)
    with stage_progress(console) as on_progress:
        return score_corpus(spec, out, engine=workers, on_progress=on_progress)


def _without_effect(setting: str, needs: str) -> SpecError:
    return SpecError("has no effect", where=setting, expected=f"{needs} beside it", got="none")


def load_kernel(console: Console | None) -> None:
    """Load the counting kernel, and say so: the first time after installation it is compiled."""
    from gradatim.difficulty.counts import count

    shown = console is not None and console.is_terminal
    note = "loading the counting kernel (compiled once after installation: about a minute)"
    with console.status(note) if shown and console else nullcontext():
        count("")


def score_report(
    folder: Path | str, path: Path | str | None = None, *, metric: str = "reading_age"
) -> Path:
    """Write the page that shows a folder of scores; returns its path.

    Args:
        folder: what `score` wrote.
        path: the HTML file, `<folder>/report.html` by default.
        metric: whose bands are shown with excerpts; the first one there is if it was not scored.
    """
    from gradatim.report.scores import report_scores
    from gradatim.report.scores_bands import MAX_BANDS
    from gradatim.scoring.reading import read_description, read_texts

    folder = str(folder).removeprefix("file://")
    content = read_description(folder)
    metric = metric if metric in content["columns"] else next(iter(content["columns"]))
    return report_scores(
        Path(folder),
        Path(path) if path else Path(folder) / "report.html",
        texts=lambda rows: read_texts(folder, rows),
        metric=metric,
        num_bands=min(content["bands"]["num_bands"], MAX_BANDS),
    )


def score_blocks(
    store_path: Path | str,
    run_folder: Path | str,
    *,
    name: str | None = None,
    checkpoint: str = "last",
    and_run: Path | str | None = None,
    and_checkpoint: str = "last",
    top_k: int | None = 10,
    mask: Literal["zeroed", "dropped"] = "zeroed",
    splits: tuple[str, ...] = ("train",),
    batch_blocks: int = 16,
    replace: bool = False,
    console: Console | None = None,
) -> ScoreTable:
    """Score a store's blocks with the weights of a run; killed and called again it goes on.

    Args:
        store_path: a block store.
        run_folder: the run whose losses the columns are.
        name: of the table: a recipe says `metric: NAME/COLUMN`; by default the run folder's name.
        checkpoint: `last`, a number of steps, or a progress such as 0.1.
        and_run: a second run, whose mean loss is subtracted: `excess_loss`; the same run again with
            a later checkpoint gives `learnability`.
        and_checkpoint: of the second run.
        top_k: of `salt_ds`; None leaves the column out.
        mask: what `salt_ds` does with a token outside the top k.
        splits: whose blocks.
        batch_blocks: blocks in one forward pass.
        replace: overwrite a table of that name that was made otherwise.
        console: shows progress.

    Raises:
        MismatchError: the run reads another vocabulary, or another table has that name.
        RecordError: no run, or no such checkpoint.
        SpecError: a setting that cannot be meant.
        StoreError: no store, or another process is making this table.
    """
    from gradatim.difficulty.model_scores import ModelScores
    from gradatim.evaluate.model_scores import ModelScoresSpec
    from gradatim.study.model_scores import RunAt, parse_moment, score_with_run

    if and_run is None and and_checkpoint != "last":
        raise _without_effect("and_checkpoint", "a second run (--and RUN)")
    if top_k is None and mask != "zeroed":
        raise _without_effect("mask", "a top_k")
    second = RunAt(Path(and_run), parse_moment(and_checkpoint)) if and_run else None
    spec = ModelScoresSpec(
        name=name or Path(run_folder).resolve().name,
        settings=ModelScores(top_k=top_k, mask=mask),
        splits=splits,
        batch_blocks=batch_blocks,
    )
    with stage_progress(console, "blocks") as on_progress:
        return score_with_run(
            Path(store_path),
            RunAt(Path(run_folder), parse_moment(checkpoint)),
            second,
            spec=spec,
            replace=replace,
            on_progress=on_progress,
        )
