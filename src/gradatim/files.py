"""The one way to put a file or a folder on disk whole, the one hash of it, and the one lock.

What is written lies under another name, ending in `.partial`, until it is complete and forced to
disk; then it gets its own by one rename, and the folder that holds it is forced to disk too. So a
reader sees all of it or nothing, and neither a kill nor a loss of power leaves half.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from gradatim.errors import GradatimError

PARTIAL = ".partial"

_HELD_BY_ANOTHER = (errno.EWOULDBLOCK, errno.EACCES)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whole; its folder is made where needed."""
    with writing_whole(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, whole; it must have no number that is not finite."""
    write_whole(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def writing_whole(path: Path, *, is_shared: bool = False) -> Iterator[Path]:
    """Gives the name to write a file or folder under; it is `path` once the block ends well.

    What lay there before is replaced: a file in one step; a folder is removed just before, for no
    system exchanges two folders. Ends the block badly, nothing has happened to `path`.

    Args:
        path: of the file or folder; the folder it lies in is made where needed.
        is_shared: several may write it at once, each under a hidden name of its own; the last one
            to end stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    own = f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}" if is_shared else path.name
    partial = path.with_name(own + PARTIAL)
    remove(partial)
    try:
        with naming(path):
            yield partial
            sync(partial, mode=_ordinary_mode())
    except BaseException:
        remove(partial)
        raise
    if partial.is_dir():
        remove(path)
    partial.replace(path)
    sync_names(path.parent)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an error of the system that names no file, as a full disk's, name this one."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def content_hash(content: bytes = b"") -> Any:
    """The hash that tells whether a file is as it was written: BLAKE2b, 32 hex digits."""
    return hashlib.blake2b(content, digest_size=16)


def hash_json(content: Any) -> str:
    """32 hex digits over JSON values; the order of keys does not matter."""
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return str(content_hash(canonical.encode()).hexdigest())


def hash_file(path: Path) -> str:
    """32 hex digits over a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, content_hash).hexdigest()


def remove(path: Path) -> None:
    """Delete a file, or a folder with all in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_partial(folder: Path) -> None:
    """Delete what killed processes left half-written in a folder."""
    for path in folder.glob(f"*{PARTIAL}"):
        remove(path)


def sync(path: Path, *, mode: int | None = None) -> None:
    """Make a file, or a folder with all in it, outlive a loss of power.

    Args:
        path: of the file or folder.
        mode: what every file gets for one: some libraries leave theirs to their writer alone.
    """
    if path.is_dir():
        for entry in path.iterdir():
            sync(entry, mode=mode)
        sync_names(path)
        return
    with path.open("rb") as file:
        if mode is not None:
            os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())


def _ordinary_mode() -> int:
    """The mode of a file that this process makes; only by setting the mask is it told."""
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask


def sync_names(folder: Path) -> None:
    """Make the names in a folder outlive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(
    path: Path, busy: Callable[[str], GradatimError], *, patience_seconds: float = 0.0
) -> Iterator[None]:
    """Hold a lock file while the block runs; its folder is made where needed.

    The kernel holds the lock for as long as the process lives, so a killed one leaves none behind;
    the file's content, the process id, is only there to be named. A file system that knows no locks
    is told of once and used without.

    Args:
        path: the lock file.
        busy: makes the error for a lock that another process holds, from that process's id.
        patience_seconds: wait so long for it: a process that was killed dies not at once.

    Raises:
        GradatimError: what `busy` made, or that the file cannot be opened.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise GradatimError(
            "cannot be opened to hold the folder",
            where=str(path),
            got=error.strerror,
            remedy="Remove what lies there, or make it writable",
        ) from None
    with file:
        ends_at = time.monotonic() + patience_seconds
        try:
            while not _is_locked(file):
                if time.monotonic() >= ends_at:
                    file.seek(0)
                    raise busy(file.read(32).strip() or "unknown")
                time.sleep(0.05)
        except OSError as error:
            warnings.warn(
                f"{path.parent}: this file system knows no locks ({error.strerror}); "
                "let only one process write there",
                stacklevel=3,
            )
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def lock_holder(path: Path) -> str | None:
    """The id of the process that holds a lock file; None where none does, or nobody can say."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError as error:
                is_held = error.errno in _HELD_BY_ANOTHER
                return (file.read(32).strip() or "unknown") if is_held else None
    except OSError:
        pass
    return None


def _is_locked(file: IO[str]) -> bool:
    """Lock an open file; False where another process holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD_BY_ANOTHER:
            return False
        raise
    return True
