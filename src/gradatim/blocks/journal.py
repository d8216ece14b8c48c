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

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gradatim.errors import StoreError

JOURNAL, LOCK, STORE = "journal.json", "lock", "store"


def building_folder(path: Path) -> Path:
    """Where the store `path` is built."""
    return path.with_name(path.name + ".building")


@contextmanager
def building_lock(path: Path) -> Iterator[Path]:
    """Holds, and at first creates, the folder in which the store `path` is built.

    Raises:
        StoreError: another process is building it.
    """
    folder = building_folder(path)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreError(
                "another process is building this store",
                where=str(path),
                remedy="Wait for it, or stop it and call again: the build goes on",
            ) from error
        yield folder


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
            self._clear()

    def stage(
        self, name: str, output: str, work: Callable[[Path], dict[str, Any]]
    ) -> dict[str, Any]:
        """The report of a stage, which is worked at only if it has not been finished before.

        Args:
            name: the stage.
            output: the one file or folder in the building folder that it writes.
            work: given the path of its output; returns a report of JSON values.
        """
        path = self.folder / output
        if name not in self._stages:
            remove(path)
            began = time.perf_counter()
            report = work(path)
            sync(path)
            self._stages[name] = report | {"seconds": time.perf_counter() - began}
            self._write()
        return self._stages[name]

    def _write(self) -> None:
        draft = self.folder / (JOURNAL + ".draft")
        content = {"identity": self._identity, "stages": self._stages}
        draft.write_text(json.dumps(content, indent=1), encoding="utf-8")
        sync(draft)
        draft.replace(self.folder / JOURNAL)
        sync_folder(self.folder)

    def _clear(self) -> None:
        for path in self.folder.iterdir():
            if path.name != LOCK:
                remove(path)


def publish(building: Path, path: Path) -> None:
    """Puts a whole store in its place by one rename, then removes the building folder.

    What lay at `path` before is moved aside first. Killed between the two renames there is no
    store at `path`, never half a one.
    """
    sync(building / STORE)
    if path.exists():
        path.rename(building / "replaced")
    (building / STORE).rename(path)
    sync_folder(path.parent)
    (building / JOURNAL).unlink()  # first: a journal must never name what is no longer there
    sync_folder(building)
    shutil.rmtree(building)


def sweep(path: Path) -> None:
    """Removes what a build left that was killed after its store had got its name."""
    if building_folder(path).exists():
        try:
            with building_lock(path) as folder:
                shutil.rmtree(folder)
        except StoreError:
            return  # a live process is replacing the store: the folder is its own


def remove(path: Path) -> None:
    """Deletes a file or a folder with all in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Makes a file, or a folder of files, outlive a loss of power."""
    if path.is_dir():
        for entry in path.iterdir():
            sync(entry)
        sync_folder(path)
        return
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Makes the names in a folder outlive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
