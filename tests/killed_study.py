"""A study in a process of its own, killed with all its workers once it has written a checkpoint."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

DEADLINE_SECONDS = 120


def kill_study(study_file: Path, folder: Path, checkpoints: str) -> None:
    """Start the study of a file in a folder, and kill it when a file of this glob is there."""
    command = [sys.executable, "-m", "gradatim", "study", str(study_file), "--out", str(folder)]
    process = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not list(folder.glob(checkpoints)):
        assert time.monotonic() < deadline, "no checkpoint came"
        assert process.poll() is None, "the study ended before it was killed"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
