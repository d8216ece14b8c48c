"""What a store is built from, as a small list that says whether the corpus is still the same.

The content of the files decides. Hashing them costs about a second a gigabyte, so a file whose
size and time of change are as noted before is taken to have its noted content, as `git` and
`make` do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from gradatim import __version__
from gradatim.blocks.spec import StoreSpec
from gradatim.corpus.hub import HUB_PREFIX
from gradatim.corpus.locations import CorpusFile, find_files


class Input(BaseModel):
    """One file of the corpus, or a name whose content cannot be looked at beforehand.

    Attributes:
        name: below the folder that was given, so that a moved corpus is the same corpus; for a
            hub data set its location; for the graded world "spectrum".
        content: hash of a file's bytes; for the graded world the version that makes it.
        num_bytes, changed_ns: of a file, None otherwise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    content: str | None = None
    num_bytes: int | None = None
    changed_ns: int | None = None


def inputs_of(spec: StoreSpec, noted: Sequence[Input] = ()) -> list[Input]:
    """The inputs of a store as they are now.

    Args:
        noted: an earlier list, whose hashes are kept where size and time of change agree.

    Raises:
        InputError: a location leads nowhere.
    """
    if spec.corpus is None:
        return [Input(name="spectrum", content=f"gradatim {__version__}")]
    known = {(entry.name, entry.num_bytes, entry.changed_ns): entry for entry in noted}
    inputs = []
    for part in _parts(spec):
        if isinstance(part, str):
            inputs.append(Input(name=part))
            continue
        status = part.path.stat()
        key = (part.name, status.st_size, status.st_mtime_ns)
        inputs.append(
            known.get(key)
            or Input(
                name=part.name,
                content=hash_file(part.path),
                num_bytes=status.st_size,
                changed_ns=status.st_mtime_ns,
            )
        )
    return inputs


def total_bytes_of(spec: StoreSpec) -> int:
    """About how many bytes of text there are, for a progress bar; 0 where nobody can say."""
    if spec.spectrum is not None:
        return spec.spectrum.num_bytes
    total = 0
    for part in _parts(spec):
        if isinstance(part, str) or part.path.suffix in (".gz", ".zst"):
            return 0
        if part.format == "parquet" and pq.ParquetFile(part.path).metadata is not None:
            metadata = pq.read_metadata(part.path)
            total += sum(
                metadata.row_group(index).total_byte_size
                for index in range(metadata.num_row_groups)
            )
        else:
            total += part.path.stat().st_size
    return total


def content_of(inputs: Sequence[Input]) -> list[list[str | None]]:
    """[name, content] of each input: what two lists of inputs are compared by."""
    return [[entry.name, entry.content] for entry in inputs]


def fingerprint_of_inputs(inputs: Sequence[Input], settings: dict[str, Any]) -> str:
    """32 hex digits over the content of the corpus and the settings that choose from it."""
    content = [content_of(inputs), settings]
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()


def hash_file(path: Path) -> str:
    """32 hex digits over a file's bytes."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
    return digest.hexdigest()


def _parts(spec: StoreSpec) -> Iterator[CorpusFile | str]:
    assert spec.corpus is not None
    location = spec.corpus.location
    for part in (location,) if isinstance(location, str) else location:
        if part.startswith(HUB_PREFIX):
            yield part
        else:
            yield from find_files(part)
