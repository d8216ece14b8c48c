"""A build in progress: which stages are finished, in a folder that one process holds.

    <store>.building/
        lock            held by the kernel for as long as the building process lives
        journal.json    what is being built, and the report of every finished stage
        tokenizer.json  of the stage `tokenizer`
        passages/       of the stage `tokens`
        store/          of the stage `blocks`, renamed to <store> when it is whole

A stage counts as finished only when its files are synced and the journal names it; anything else
found in the folder is the leftover of a killed process and is removed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gradatim import files
from gradatim.errors import StoreError

JOURNAL, LOCK, STORE = "journal.json", "lock", "store"


def building_folder(path: Path) -> Path:
    """Where the store `path` is built."""
    return path.with_name(path.name + ".building")


@contextmanager
def building_lock(path: Path, doing: str = "building this store") -> Iterator[Path]:
    """Holds, and at first creates, the folder in which `path` is built.

    Args:
        path: where what is built will lie.
        doing: what the holder does, for the message.

    Raises:
        StoreError: another process holds it.
    """

    def busy(holder: str) -> StoreError:
        return StoreError(
            f"another process is {doing}",
            where=str(path),
            got=f"process {holder}",
            remedy="Wait for it, or stop it and call again: the work goes on",
        )

    with files.locked(building_folder(path) / LOCK, busy):
        yield building_folder(path)


class Journal:
    """The finished stages of one build.

    Args:
        folder: the building folder, held by this process.
        identity: everything the result depends on; leftovers of another identity are removed.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self.folder = folder
        self._identity = json.loads(json.dumps(identity))
        self._stages: dict[str, dict[str, Any]] = {}
        try:
            content = json.loads((folder / JOURNAL).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            content = None
        if isinstance(content, dict) and content.get("identity") == self._identity:
            self._stages = content["stages"]
        else:
            for path in folder.iterdir():
                if path.name != LOCK:
                    files.remove(path)
            self._write()

    def stage(
        self, name: str, output: str, work: Callable[[Path], dict[str, Any]]
    ) -> dict[str, Any]:
        """The report of a stage, which is worked at only if it has not been finished before.

        Args:
            name: the stage.
            output: the one file or folder in the building folder that it writes.
            work: given the path to write it to; returns a report of JSON values.
        """
        if name not in self._stages:
            began = time.perf_counter()
            with files.writing_whole(self.folder / output) as path:
                report = work(path)
            self._stages[name] = report | {"seconds": time.perf_counter() - began}
            self._write()
        return self._stages[name]

    def _write(self) -> None:
        content = {"identity": self._identity, "stages": self._stages}
        files.write_json(self.folder / JOURNAL, content)


def publish(building: Path, path: Path) -> None:
    """Puts a whole store in its place by one rename, then removes the building folder.

    What lay at `path` before is moved aside first. Killed between the two renames there is no
    store at `path`, never half a one.
    """
    files.sync(building / STORE)
    if path.exists():
        path.rename(building / "replaced")
    (building / STORE).rename(path)
    files.sync_names(path.parent)
    (building / JOURNAL).unlink()  # first: a journal must never name what is no longer there
    files.sync_names(building)
    files.remove(building)


def sweep(path: Path) -> None:
    """Removes what a build left that was killed after its store had got its name."""
    if building_folder(path).exists():
        try:
            with building_lock(path) as folder:
                files.remove(folder)
        except StoreError:
            return  # a live process is replacing the store: the folder is its own
