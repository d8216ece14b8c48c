"""Is everything in a folder as it was written? Reads all of it, which nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradatim.errors import GradatimError, RecordError, from_os_error

if TYPE_CHECKING:
    from gradatim.record.read import Record


@dataclass(frozen=True)
class Checked:
    """One part of a folder: a store, a table of scores, a record or a checkpoint.

    Attributes:
        part: its path.
        error: what is damaged; None where it is whole.
    """

    part: Path
    error: GradatimError | None


def check(folder: Path | str) -> list[Checked]:
    """Read a store, a run or a study's folder whole, and compare it with its checksums.

    Raises:
        RecordError: the folder is none of these.
    """
    from gradatim.blocks.description import DESCRIPTION
    from gradatim.record.spec import SPEC
    from gradatim.study.folder import STUDY_INDEX

    folder = Path(folder)
    kinds = {DESCRIPTION: _check_store, SPEC: _check_run, STUDY_INDEX: _check_study}
    for name, checked in kinds.items():
        if (folder / name).exists():
            return checked(folder)
    raise RecordError(
        "is no store, run or study", where=str(folder), expected=f"one of {', '.join(kinds)} in it"
    )


def _checked(part: Path, read: Callable[[], Any]) -> Checked:
    try:
        read()
    except GradatimError as error:
        return Checked(part, error)
    except OSError as error:
        return Checked(part, from_os_error(error))
    return Checked(part, None)


def _check_store(path: Path) -> list[Checked]:
    from gradatim.blocks.model_scores import SCORES_FOLDER, table_names
    from gradatim.blocks.store import Store

    found = [_checked(path, lambda: Store.open(path).verify())]
    if found[0].error is None:
        store = Store.open(path)
        for name in table_names(path):

            def read(name: str = name) -> None:
                column = next(iter(store.score_table(name).columns))
                store.column(f"{name}/{column}")  # the whole table is compared for any column

            found.append(_checked(path / SCORES_FOLDER / f"{name}.parquet", read))
    return found


def _check_run(folder: Path) -> list[Checked]:
    from gradatim.record.read import Record
    from gradatim.record.write import check_beginnings
    from gradatim.train.checkpoint import kept_steps, read_checkpoint

    def read_record() -> None:
        record = Record.read(folder)
        record.drawn_blocks()
        record.block_losses()

    def read_latest() -> None:
        checkpoint = read_checkpoint(folder)
        if checkpoint is not None:
            check_beginnings(folder, checkpoint.offsets, checkpoint.hashes)

    found = [
        _checked(folder, read_record),
        _checked(folder / "checkpoints" / "latest", read_latest),
    ]
    for step in kept_steps(folder):
        part = folder / "checkpoints" / f"step {step}"
        found.append(_checked(part, lambda step=step: read_checkpoint(folder, step)))  # type: ignore[misc]
    return found


def _check_study(folder: Path) -> list[Checked]:
    from gradatim.record.read import Record
    from gradatim.study.folder import STUDY_FILE, STUDY_INDEX, StudyIndex, read_study_file
    from gradatim.study.single import open_store

    found = [_checked(folder / STUDY_INDEX, lambda: StudyIndex.read(folder))]
    found.append(_checked(folder / STUDY_FILE, lambda: read_study_file(folder)))
    stores: dict[str, Record] = {}
    for run in sorted(folder.glob("runs/*/")):
        found += _check_run(run)
        try:
            record = Record.read(run)
        except GradatimError:
            continue  # named above
        stores.setdefault(record.spec.store.path, record)
    for path, record in stores.items():
        opened = _checked(Path(path), lambda record=record: open_store(record.spec))  # type: ignore[misc]
        found += [opened] if opened.error else _check_store(Path(path))
    return found
