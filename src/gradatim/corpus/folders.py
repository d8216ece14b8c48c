"""What lies in a folder or fits a glob, links followed, each folder once, leftovers counted."""

from __future__ import annotations

import glob
import json
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePath

from gradatim.errors import InputError

PassedOver = Counter[str]
"""How many files were left out, by the ends of their names or what else they are."""

_STATE, _INFO, _DICT = "state.json", "dataset_info.json", "dataset_dict.json"


def below(root: Path, passed_over: PassedOver) -> Iterator[Path]:
    """The files below a folder, hidden ones left out.

    Every folder is entered once, by its own name if it lies below the root, else by that of the
    first link to it; a link to a folder that holds the root is not followed.

    Raises:
        OSError: a folder may not be read.
    """
    for _, paths in _folders(root, passed_over):
        yield from _regular(paths, passed_over)


def matching(pattern: Path, passed_over: PassedOver) -> Iterator[Path]:
    """The files that fit a glob; `**` enters folders as `below` does.

    Raises:
        OSError: a folder may not be read.
    """
    found = _matching(pattern)
    if "**" not in pattern.parts:
        is_folder = [path.is_dir() for path in found]
        passed_over["folders"] += sum(is_folder)
    yield from _regular([path for path in found if not path.is_dir()], passed_over)


def _matching(pattern: Path) -> list[Path]:
    """All that fits, folders too, each once and sorted."""
    parts = pattern.parts
    if "**" not in parts:
        # Path.glob takes no absolute pattern.
        return sorted(Path(name) for name in glob.glob(str(pattern)))  # noqa: PTH207
    at = parts.index("**")
    tops = [path for path in _matching(Path(*parts[:at])) if path.is_dir()]
    inner = Path(*(parts[at + 1 :] or ("*",)))
    found = {
        path
        for top in tops
        for folder, _ in _folders(top, Counter(), hidden=".")
        for path in _matching(Path(glob.escape(str(folder))) / inner)
    }
    return sorted(found)


def _folders(
    root: Path, passed_over: PassedOver, hidden: str = "._"
) -> Iterator[tuple[Path, list[Path]]]:
    """Every folder from the root down, and what is in it that is no folder.

    Args:
        hidden: first characters of names that are left out.
    """
    real = root.resolve()
    seen = {_identity(parent) for parent in real.parents}
    waiting = deque([root])
    while waiting:
        top = waiting.popleft()
        if _identity(top) in seen:
            continue
        links = []
        for where, folders, names in os.walk(top, onerror=_raised):
            folder = Path(where)
            seen.add(_identity(folder))
            passed_over["hidden"] += sum(name[0] in hidden for name in [*folders, *names])
            inner = sorted(name for name in folders if name[0] not in hidden)
            links += [folder / name for name in inner if (folder / name).is_symlink()]
            folders[:] = [
                name
                for name in inner
                if not (folder / name).is_symlink() and _identity(folder / name) not in seen
            ]
            yield folder, [folder / name for name in names if name[0] not in hidden]
        waiting.extend(sorted(links))


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _raised(error: OSError) -> None:
    raise error


def _regular(paths: list[Path], passed_over: PassedOver) -> Iterator[Path]:
    for path in paths:
        if path.is_file():
            yield path
        else:
            passed_over["pipes, devices or broken links"] += 1


def is_hidden(path: PurePath) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


class SavedDatasets:
    """What `datasets.Dataset.save_to_disk` left among some files, and which of them are its data.

    Args:
        paths: by what opens them.
        read: gives a file's bytes.

    Raises:
        InputError: a list of data files that is none, or names a file that is not there.
    """

    def __init__(self, paths: Mapping[str, PurePath], read: Callable[[str], bytes]) -> None:
        self._paths = paths
        by_path = {path: opened_by for opened_by, path in paths.items()}
        dicts = {path.parent for path in by_path if path.name == _DICT}
        self._data: dict[PurePath, set[str]] = {}
        self._sources: dict[PurePath, str] = {}
        self._bookkeeping = {folder / _DICT for folder in dicts}
        for path, opened_by in by_path.items():
            folder = path.parent
            if path.name != _STATE or folder / _INFO not in by_path:
                continue
            self._data[folder] = _data_files(read(opened_by), str(path))
            missing = sorted(name for name in self._data[folder] if folder / name not in by_path)
            if missing:
                raise InputError(
                    "a data set is incomplete",
                    where=str(folder),
                    expected=f"the files of its {_STATE}",
                    got=f"no {missing[0]}",
                    remedy="Save it anew",
                )
            whole = folder.absolute() if isinstance(folder, Path) else folder
            self._sources[folder] = whole.parent.name if folder.parent in dicts else whole.name
            self._bookkeeping |= {folder / _STATE, folder / _INFO}

    def leaves_out(self, opened_by: str) -> bool:
        """Whether the file only describes the data."""
        return self._paths[opened_by] in self._bookkeeping

    def is_stale(self, opened_by: str) -> bool:
        """Whether the file lies beside the data without being part of it: a cache, an old shard."""
        path = self._paths[opened_by]
        return path.parent in self._data and path.name not in self._data[path.parent]

    def source_of(self, opened_by: str) -> str | None:
        """The name of the data set that a file belongs to."""
        return self._sources.get(self._paths[opened_by].parent)


def _data_files(content: bytes, where: str) -> set[str]:
    try:
        return {str(entry["filename"]) for entry in json.loads(content)["_data_files"]}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            "not the list of files of a saved data set",
            where=where,
            got=f"{type(error).__name__}: {error}",
            remedy="Save the data set anew",
        ) from error
