"""One writer a run folder.

The kernel holds the lock for as long as the process lives, so a killed process leaves none behind;
the file's content, the process id, is only there to be named in the error.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gradatim.errors import RecordError


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the run folder while the context is open, creating it where needed.

    Raises:
        RecordError: another process is writing this run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise RecordError(
                f"process {file.read().strip() or 'unknown'} is already writing this run",
                where=str(folder),
                remedy="Wait for it, or stop it and call again: the run goes on where it was",
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
