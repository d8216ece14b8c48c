"""Everything gradatim raises on purpose, and the exit code the command line gives for it.

    GradatimError            1  anything below
    ├── InputError           2  a document, table or text file that cannot be read as asked
    ├── SpecError            3  a setting, recipe or study that cannot be meant
    ├── StoreError           4  a block store that is missing, incomplete or damaged
    ├── RecordError          5  a run folder that is missing, incomplete or damaged
    ├── MismatchError        6  what is resumed or compared is not what it was
    ├── TrainingError        7  a run that cannot go on
    │   └── NotFiniteError   7  the loss became infinite or not a number
    ├── FitError             8  too little or unusable data for a law or a comparison
    ├── MissingExtraError    9  an optional dependency is not installed
    └── StoppedError        75  stopped by SIGTERM; the same command goes on

An error says where, what was expected, what came, and what to do.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

# Controls (C0, delete, C1), the ends of lines and paragraphs that Unicode adds, what turns the
# direction of writing, and halves of surrogate pairs.
_UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """One line of text that any file and terminal takes.

    Escaped are control characters, those that turn the direction of writing, and half characters,
    which stand for bytes in the names of files that are not UTF-8.
    """
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


class GradatimError(Exception):
    """Base of every expected failure.

    Args:
        problem: what is wrong, one clause without a full stop.
        where: file, line and field, or the name of the setting.
        expected: what would have been right.
        got: what came instead.
        remedy: what the user can do about it.
    """

    exit_code = 1

    def __init__(
        self,
        problem: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        got: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.problem = problem
        self.where = where
        self.expected = expected
        self.got = got
        self.remedy = remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        text = f"{self.where}: {self.problem}" if self.where else self.problem
        if self.expected is not None:
            text += f"; expected {self.expected}"
        if self.got is not None:
            text += f"; got {shorten(self.got)}"
        if self.remedy is not None:
            text += f". {self.remedy}"
        return printable(text)


class InputError(GradatimError):
    """A document, table or text file that cannot be read as asked."""

    exit_code = 2


class SpecError(GradatimError):
    """A setting, recipe or study that cannot be meant."""

    exit_code = 3


class StoreError(GradatimError):
    """A block store that is missing, incomplete or damaged."""

    exit_code = 4


class RecordError(GradatimError):
    """A run folder that is missing, incomplete or damaged."""

    exit_code = 5


class MismatchError(GradatimError):
    """What is resumed or compared is not what it was; the message lists what differs."""

    exit_code = 6


class TrainingError(GradatimError):
    """A run that cannot go on."""

    exit_code = 7


class NotFiniteError(TrainingError):
    """The loss became infinite or not a number; the last good checkpoint is kept."""


class FitError(GradatimError):
    """Too little or unusable data for a law or a comparison."""

    exit_code = 8


class MissingExtraError(GradatimError):
    """An optional dependency is not installed; the message gives the install line."""

    exit_code = 9


class StoppedError(GradatimError):
    """Work was stopped by SIGTERM, its state saved; a scheduler reads the code as "try again"."""

    exit_code = 75


_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_IN_THE_WAY = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY)


def from_os_error(error: OSError) -> GradatimError:
    """What the system refused as one line: path, reason, what to do."""
    reason = os.strerror(error.errno) if error.errno else str(error) or type(error).__name__
    paths = [
        os.fsdecode(p)
        for p in (error.filename, error.filename2)
        if p is not None and not isinstance(p, int)
    ]
    remedy = None
    if error.errno in _FULL:
        remedy = "Make room on that disk; the same command goes on where it was"
    elif error.errno in _FORBIDDEN:
        remedy = "Let this account read and write there, or name another place"
    elif error.errno in _IN_THE_WAY:
        remedy = "Something else lies there, or where its folder should be: name another place"
    elif error.errno == errno.ENAMETOOLONG:
        remedy = "Choose a shorter name"
    reason = reason[:1].lower() + reason[1:]
    return GradatimError(reason, where=" and ".join(paths) or None, remedy=remedy)


def shorten(text: str, most_characters: int = 400) -> str:
    """A text that may be of any length, in a message."""
    return text if len(text) <= most_characters else f"{text[:most_characters]} ..."


def check_version(found: Any, expected: int, where: object, error: type[GradatimError]) -> None:
    """Refuse what another version of gradatim wrote.

    Raises:
        GradatimError: of the kind given, naming both versions.
    """
    if found != expected:
        raise error(
            "was left by another version of gradatim",
            where=str(where),
            expected=f"schema_version {expected}",
            got=str(found),
            remedy="Make it anew, or read it with the gradatim that wrote it",
        )


_ABSENT = object()


def differences(was: Any, now: Any, path: str = "") -> Iterator[str]:
    """Where two nested mappings of JSON values differ, a clause a leaf, for a message."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for key in sorted(was.keys() | now.keys()):
            inner = f"{path}.{key}" if path else str(key)
            yield from differences(was.get(key, _ABSENT), now.get(key, _ABSENT), inner)
    elif was != now:
        shown = ["absent" if leaf is _ABSENT else json.dumps(leaf)[:80] for leaf in (was, now)]
        yield f"{path}: was {shown[0]}, now {shown[1]}"
