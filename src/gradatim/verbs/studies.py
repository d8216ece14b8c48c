"""From a corpus to a store, from a store to runs, from runs to a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from gradatim.errors import SpecError
from gradatim.progress import stage_progress
from gradatim.settings import read_yaml_file, validated
from gradatim.verbs.scores import load_kernel

if TYPE_CHECKING:
    from gradatim.blocks.spec import StoreSpec
    from gradatim.blocks.store import Store
    from gradatim.law.compare import Comparison
    from gradatim.law.fit import LawFit
    from gradatim.model.network import Network
    from gradatim.record.read import Record

MAX_TOKENS = 1e18
"""More than anybody has trained on, and few enough to be counted."""


def build(
    spec: StoreSpec | Mapping[str, Any], path: Path | str, *, console: Console | None = None
) -> Store:
    """Build a block store, or open it if it is there already.

    Args:
        spec: corpus, tokenizer and packing; a mapping is validated first.
        path: the store's folder; a half-built one is gone on with.
        console: shows progress.

    Raises:
        InputError: the corpus cannot be read as asked.
        MismatchError: another store lies at `path`.
        SpecError: the settings cannot be meant.
    """
    from gradatim.blocks.build import build as build_store
    from gradatim.blocks.spec import StoreSpec

    if not isinstance(spec, StoreSpec):
        spec = validated(StoreSpec, spec, where="store")
    load_kernel(console)
    with stage_progress(console) as on_progress:
        return build_store(spec, Path(path), on_progress=on_progress)


def train(
    store_path: Path | str,
    *,
    folder: Path | str,
    rung: str | None = None,
    tokens: float | None = None,
    recipe_file: Path | str | None = None,
    arm: str | None = None,
    seed: int = 0,
    batch_blocks: int | None = None,
    num_threads: int | None = None,
    changes: Sequence[str] = (),
    console: Console | None = None,
) -> Record:
    """Train one run; called again with the same arguments it goes on, or returns the record.

    Args:
        store_path: a block store.
        folder: the run folder.
        rung: a name of the ladder (`compute.LADDER`); of a study, one of its rungs, by default its
            only one.
        tokens: the budget, as FLOPs that train this rung on so many tokens; by default a study's.
        recipe_file: YAML of the four timelines; uniform, next token, fixed network by default. Or a
            study, of which one arm is trained on this store, with all else that it says of a run.
        arm: of a study, controls included; by default the only one that it gives beside `uniform`.
        seed: of initial weights and block order.
        batch_blocks: blocks in one step; by default a study's, or 16.
        num_threads: of one operation; by default one for a small network, all usable cores for a
            large one.
        changes: settings laid over the file, each `a.b=value`, such as `rate.peak=0.004`.
        console: shows a progress bar where it is a terminal.

    Raises:
        SpecError: a setting that cannot be meant; nothing was spent.
        StoppedError: by SIGTERM, after a checkpoint; a second SIGTERM ends the process at once.
    """
    from gradatim.blocks.store import Store
    from gradatim.study.execute import Job, JobEvent, suitable_threads
    from gradatim.study.progress import StudyProgress
    from gradatim.study.single import run, run_of_recipe, run_of_study
    from gradatim.train.device import limited_threads
    from gradatim.train.stopping import asked_to_stop

    if tokens is not None and not 0 < tokens <= MAX_TOKENS:
        expected = f"a number above 0, at most {MAX_TOKENS:.0e}"
        raise SpecError("is no budget", where="tokens", expected=expected, got=f"{tokens:g}")
    store = Store.open(Path(store_path))
    where = str(recipe_file or "recipe")
    values = read_yaml_file(Path(recipe_file)) if recipe_file else {}
    asked: dict[str, Any] = {
        "rung": rung,
        "tokens": tokens,
        "seed": seed,
        "batch_blocks": batch_blocks,
    }
    if values.keys() & {"arms", "rungs"}:
        spec = run_of_study(values, store, where=where, arm=arm, changes=changes, **asked)
    elif arm is not None:
        raise SpecError("a recipe has no arms; only a study has", where="arm", got=arm)
    else:
        spec = run_of_recipe(values, store, where=where, changes=changes, **asked)
    spec.clock()  # a budget that pays for no step is refused here
    job = Job(spec, Path(folder))
    with (
        limited_threads(suitable_threads(spec) if num_threads is None else num_threads),
        asked_to_stop() as is_stopping,
        StudyProgress([job], console or Console(quiet=True)) as progress,
    ):
        progress(JobEvent("started", job))
        return run(
            spec,
            job.folder,
            on_progress=lambda share, loss: progress(JobEvent("progress", job, share, loss)),
            is_stopping=is_stopping,
        )


def compare(folder: Path | str, *, weights: str | None = None) -> Comparison:
    """Compare the arms of a study at equal compute, paired by seed; writes nothing.

    Args:
        folder: a study's folder.
        weights: which weights are judged: `weights`, the raw ones, or the name of an average; by
            default those that each run hands out at its end.

    Raises:
        RecordError: there are no finished runs, or one has no such average.
        MismatchError: the runs did not spend the same compute.
    """
    from gradatim.law.compare import compare as compare_records
    from gradatim.record.tuning import read_choices
    from gradatim.study.folder import StudyIndex, read_study

    records, missing = read_study(Path(folder))
    return compare_records(
        records,
        missing=missing,
        weights=weights,
        schedules=StudyIndex.read(Path(folder)).schedules,
        choices=read_choices(Path(folder)),
    )


def fit(folder: Path | str) -> list[LawFit]:
    """Fit L(N) and L(C) for every arm of a study; writes nothing.

    Raises:
        FitError: too few rungs.
    """
    from gradatim.law.fit import fit as fit_records
    from gradatim.study.folder import read_study

    records, _missing = read_study(Path(folder))
    return fit_records(records)


def report(folder: Path | str, path: Path | str | None = None) -> Path:
    """Write the page that answers the study's question; returns its path.

    Args:
        folder: a study's folder.
        path: the HTML file, `<folder>/report.html` by default; its numbers go beside it, to the
            folder `<stem>-data`: tables as CSV, `comparison.json`, `laws.json`. Nothing else is
            written.

    Raises:
        RecordError: there are no finished runs, or one is damaged.
        MismatchError: the store is another one than the runs'.
        StoreError: it is damaged.
    """
    from gradatim.files import write_whole
    from gradatim.law.compare import compare as compare_records
    from gradatim.law.fit import fit as fit_records
    from gradatim.law.fit import laws_to_json
    from gradatim.record.tuning import read_choices
    from gradatim.report.page import report as write_report
    from gradatim.study.feeding import feeding
    from gradatim.study.folder import StudyIndex, read_study, read_study_file
    from gradatim.study.single import open_store
    from gradatim.study.visiting import visiting

    folder = Path(folder)
    index = StudyIndex.read(folder)
    records, missing = read_study(folder)
    store = open_store(records[0].spec)
    comparison = compare_records(
        records, missing=missing, schedules=index.schedules, choices=read_choices(folder)
    )
    laws = fit_records(records)
    of_first = [r for r in records if r.spec.operation.schedule == comparison.schedule]
    page = write_report(
        records,
        Path(path) if path else folder / "report.html",
        comparison=comparison,
        laws=laws,
        title=index.question or index.name,
        study_yaml=read_study_file(folder),
        feeding=feeding(of_first, store),
        visits=visiting(of_first, store),
    )
    data = page.with_name(f"{page.stem}-data")
    write_whole(data / "comparison.json", comparison.to_json())
    write_whole(data / "laws.json", laws_to_json(laws))
    return page


def evaluate(
    run_folder: Path | str,
    *,
    checkpoint: str = "last",
    weights: str | None = None,
    num_blocks: int = 512,
    num_tasks: int | None = None,
) -> dict[str, Any]:
    """Measure a run's weights on a larger held-out set than during training.

    Args:
        run_folder: a run folder.
        checkpoint: `last`, a number of steps, or a progress such as 0.1.
        weights: `weights`, those trained, or the name of an average; by default the run's outcome.
        num_blocks: held-out blocks for bits per byte.
        num_tasks: items a split and level; by default 200 where the store has tasks.

    Returns:
        `bits_per_byte` by slice, and `tasks` by split and level with accuracy, probability of the
        right answer and chance.

    Raises:
        RecordError: no run, no such checkpoint, or no such weights.
        SpecError: a number that cannot be meant, or of tasks in a store that has none.
    """
    from gradatim.evaluate.evaluator import Evaluator
    from gradatim.record.read import Record
    from gradatim.study.execute import suitable_threads
    from gradatim.study.single import open_store
    from gradatim.train.device import limited_threads

    for name, number, least in (("num_blocks", num_blocks, 1), ("num_tasks", num_tasks or 0, 0)):
        if number < least:
            raise SpecError("too few", where=name, expected=f"{least} or more", got=str(number))
    spec = Record.read(run_folder).spec
    store = open_store(spec)
    if num_tasks and not store.tasks():
        raise SpecError(
            "the store has no tasks to take items from", where="num_tasks", got=str(num_tasks)
        )
    evaluator = Evaluator(
        store,
        num_blocks=num_blocks,
        num_bands=spec.evaluation.num_bands,
        num_tasks=200 if num_tasks is None else num_tasks,
        num_samples=0,
    )
    with limited_threads(suitable_threads(spec)):
        (event,) = evaluator(_network_at(run_folder, checkpoint, weights), 1.0)
    return {name: value for name, value in event.items() if name != "event"}


def explain(run_folder: Path | str, step: int) -> list[dict[str, Any]]:
    """The blocks of one step: text, difficulty, source and loss, hardest for the network first.

    Raises:
        RecordError: the run has no such step.
    """
    from gradatim.record.read import Record
    from gradatim.study.single import open_store
    from gradatim.train.explain import explain as explain_step

    folder = Path(run_folder)
    return explain_step(folder, step, store=open_store(Record.read(folder).spec))


def export(
    run_folder: Path | str,
    destination: Path | str,
    *,
    checkpoint: str = "last",
    weights: str | None = None,
) -> Path:
    """Write a run's weights as a Hugging Face folder, tokenizer included.

    The folder opens with `transformers.AutoModelForCausalLM.from_pretrained`.

    Args:
        run_folder: a run folder.
        destination: a new folder, or an earlier export, which is replaced.
        checkpoint: `last`, a number of steps, or a progress such as 0.1.
        weights: `weights`, those trained, or the name of an average; by default the run's outcome.

    Raises:
        InputError: the destination holds something else.
        RecordError: no run, no such checkpoint, or no such weights.
    """
    from gradatim.model.convert import save_hf
    from gradatim.record.read import Record
    from gradatim.study.single import open_store

    store = open_store(Record.read(run_folder).spec)
    save_hf(
        _network_at(run_folder, checkpoint, weights),
        Path(destination),
        tokenizer_path=store.tokenizer_path,
        separator_id=store.separator_id,
    )
    return Path(destination)


def _network_at(run_folder: Path | str, checkpoint: str, weights: str | None) -> Network:
    from gradatim.study.model_scores import checkpoint_step, parse_moment
    from gradatim.train.checkpoint import load_network

    folder = Path(run_folder)
    step = checkpoint_step(folder, parse_moment(checkpoint))
    return load_network(folder, step=step, weights=weights)
