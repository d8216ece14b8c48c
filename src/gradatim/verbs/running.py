"""What a study costs, running it, and how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from gradatim.settings import read_yaml
from gradatim.verbs.studies import build, report

if TYPE_CHECKING:
    from gradatim.blocks.spec import StoreSpec
    from gradatim.blocks.store import Store
    from gradatim.law.power import Sight
    from gradatim.study.plan import StudyPlan
    from gradatim.study.run import StudyResult
    from gradatim.study.spec import StudySpec
    from gradatim.study.status import StudyStatus


def plan(
    study_file: Path | str,
    folder: Path | str | None = None,
    *,
    changes: Sequence[str] = (),
) -> StudyPlan:
    """What every run of a study will cost on this machine; trains nothing.

    Args:
        study_file: `study.yaml`.
        folder: the study's, whose store may be built already; `out/<name of the study>` by default.
        changes: settings laid over it, each `a.b=value`.

    Raises:
        InputError: the corpus is not there.
        SpecError: the study cannot be meant, or an arm asks for what its store does not have.
        StoreError: the store named is none, or has no held-out block.
    """
    from gradatim.study.check import check_before_store, check_on_store
    from gradatim.study.plan import plan as plan_study
    from gradatim.study.spec import load_study

    spec = load_study(study_file, changes)
    store = _store_there(spec, Path(folder) if folder else _folder_of(spec))
    if store is not None:
        check_on_store(spec, store)
        vocab_size, block_tokens = store.vocab_size, store.block_tokens
    else:
        assert spec.store is not None
        check_before_store(spec, spec.store)
        vocab_size, block_tokens = _store_sizes(spec.store)
    return plan_study(spec, vocab_size=vocab_size, block_tokens=block_tokens, store=store)


def sight(
    study_file: Path | str,
    *,
    noise: float | None = None,
    pilot: Path | str | None = None,
    effect: float | None = None,
    changes: Sequence[str] = (),
) -> Sight:
    """Which effect a study will see, and the seeds that a wished one takes.

    Args:
        study_file: `study.yaml`.
        noise: by how much runs scatter, bits per byte; by default a guess.
        pilot: the folder of a study of the same kind, whose scatter is taken.
        effect: wished for, bits per byte.
        changes: settings laid over it.
    """
    from gradatim.law import power
    from gradatim.study.spec import load_study
    from gradatim.verbs.studies import compare

    spec = load_study(study_file, changes)
    arms = spec.planned_arms()
    num_methods = sum(arm.control is None for arm in arms.values()) - 1
    return power.sight(
        num_seeds=len(spec.seeds),
        num_rungs=len(spec.rungs),
        num_arms=len(arms),
        num_methods=num_methods * max(1, len(spec.schedules)),  # all share the level
        noise=noise,
        pilot=compare(pilot) if pilot is not None else None,
        wished=effect,
    )


def study(
    study_file: Path | str,
    folder: Path | str | None = None,
    *,
    num_processes: int | None = None,
    num_threads: int | None = None,
    changes: Sequence[str] = (),
    console: Console | None = None,
) -> StudyResult:
    """Build the store, train every run that is not finished, and collect the records.

    Args:
        study_file: `study.yaml`.
        folder: where everything goes; `out/<name of the study>` by default.
        num_processes: runs at a time; by default one a core, or one a GPU.
        num_threads: of each; by default as many as there are cores for.
        changes: settings laid over the file, each `a.b=value`; the folder's `study.yaml` is the
            study with them.
        console: shows progress.

    Raises:
        SpecError: the study cannot be meant; nothing was spent.
    """
    from gradatim.study.spec import load_study

    spec = load_study(study_file, changes)
    return _run_study(
        spec,
        Path(folder) if folder else _folder_of(spec),
        num_processes=num_processes,
        num_threads=num_threads,
        console=console,
    )


def status(folder: Path | str) -> StudyStatus:
    """What has become of every run of a study: finished, running, failed, stopped or waiting.

    Raises:
        RecordError: not the folder of a study, or its index is damaged.
    """
    from gradatim.study.status import study_status

    return study_status(Path(folder))


def demo(
    folder: Path | str = Path("out") / "demo",
    *,
    changes: Sequence[str] = (),
    console: Console | None = None,
) -> Path:
    """The whole way on the graded world: store, ladder, arms, controls, report.

    Args:
        folder: where everything goes.
        changes: settings laid over those of the demo, each `a.b=value`.
        console: shows progress.

    Returns:
        The report's path.
    """
    from gradatim.study.spec import parse_study

    text = resources.files("gradatim.study").joinpath("demo.yaml").read_text(encoding="utf-8")
    spec = parse_study(read_yaml(text, where="demo.yaml"), where="demo.yaml", changes=changes)
    _run_study(spec, Path(folder), console=console)
    return report(folder)


def _run_study(
    spec: StudySpec,
    folder: Path,
    *,
    num_processes: int | None = None,
    num_threads: int | None = None,
    console: Console | None,
) -> StudyResult:
    from gradatim.study.check import check_before_store
    from gradatim.study.execute import machine_slots
    from gradatim.study.folder import check_study_file
    from gradatim.study.run import run_study

    # What cannot be meant is refused before a store is built, the rest by `run_study`.
    machine_slots(num_processes, num_threads)
    check_study_file(folder)
    store = _store_there(spec, folder)
    if store is None:
        assert spec.store is not None
        check_before_store(spec, spec.store)
        store = build(spec.store, folder / "store", console=console)
    return run_study(
        spec,
        store,
        folder,
        num_processes=num_processes,
        num_threads=num_threads,
        console=console,
    )


def _folder_of(spec: StudySpec) -> Path:
    return Path("out") / spec.name


def _store_there(spec: StudySpec, folder: Path) -> Store | None:
    """The study's store, unless it is to be built yet.

    Raises:
        MismatchError: another store lies where it would be built.
        StoreError: no store where the study says that there is one.
    """
    from gradatim.blocks.build import build as build_store
    from gradatim.blocks.description import DESCRIPTION
    from gradatim.blocks.store import Store

    if spec.store_path is not None:
        return Store.open(Path(spec.store_path))
    assert spec.store is not None
    if not (folder / "store" / DESCRIPTION).is_file():
        return None
    return build_store(spec.store, folder / "store")  # opens it, or says what is another


def _store_sizes(spec: StoreSpec) -> tuple[int, int]:
    """Vocabulary and block length of a store that is not built yet."""
    from gradatim.blocks.tokenizer import load_tokenizer

    wanted = spec.tokenizer
    if wanted.file or wanted.hf:
        return load_tokenizer(wanted).get_vocab_size(), spec.block_tokens
    return wanted.vocab_size, spec.block_tokens
