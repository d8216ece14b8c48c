"""What a store is built from, as a small list that says whether the corpus is still the same.

The content of the files decides. Hashing them costs about a second a gigabyte, so a file whose
size and time of change are as noted before is taken to have its noted content, as `git` and
`make` do.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from gradatim import __version__
from gradatim.blocks.spec import StoreSpec
from gradatim.corpus.columns import Columns
from gradatim.corpus.hub import HUB_PREFIX
from gradatim.corpus.locations import CorpusFile
from gradatim.corpus.pieces import plan_pieces
from gradatim.corpus.storage import corpus_files, is_remote, stamp_of
from gradatim.errors import InputError
from gradatim.files import hash_file


class Input(BaseModel):
    """One file of the corpus, or a name whose content cannot be looked at beforehand.

    Attributes:
        name: below the folder that was given, so that a moved corpus is the same corpus; for a
            hub data set its location; for the graded world "spectrum".
        content: hash of a file's bytes; size and tag of one elsewhere; for the graded world the
            version that makes it.
        num_bytes, changed_ns: of a file of this machine, None otherwise.
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
        InputError: a location leads nowhere, or a file cannot be read.
    """
    if spec.corpus is None:
        return [Input(name="spectrum", content=f"gradatim {__version__}")]
    known = {(entry.name, entry.num_bytes, entry.changed_ns): entry for entry in noted}
    location, inputs = spec.corpus.location, []
    for part in (location,) if isinstance(location, str) else location:
        if part.startswith(HUB_PREFIX):
            inputs.append(Input(name=part))
            continue
        for file in corpus_files(part):
            if is_remote(file.path):
                inputs.append(Input(name=file.name, content=f"{file.num_bytes} {file.changed}"))
            else:
                key = (file.name, file.num_bytes, int(file.changed))
                inputs.append(known.get(key) or _hashed(file))
    return inputs


def _hashed(file: CorpusFile) -> Input:
    """A file of this machine with its hash.

    Raises:
        InputError: it cannot be read, or was written to while it was read.
    """
    try:
        content = hash_file(Path(file.path))
    except OSError as error:
        raise InputError(
            "cannot be read",
            where=file.path,
            got=error.strerror,
            remedy="Check that it may be read",
        ) from error
    changed_ns = int(file.changed)
    if stamp_of(file.path) != (file.num_bytes, changed_ns):
        raise InputError(
            "the file changed while it was read",
            where=file.path,
            remedy="Call again when nothing writes to it",
        )
    return Input(name=file.name, content=content, num_bytes=file.num_bytes, changed_ns=changed_ns)


def total_bytes_of(spec: StoreSpec) -> int:
    """About how many bytes of text there are, for a progress bar; 0 where nobody can say."""
    if spec.spectrum is not None:
        return spec.spectrum.num_bytes
    assert spec.corpus is not None
    columns = Columns(spec.corpus.text_column)
    return plan_pieces(spec.corpus.location, columns, skip_bad=True).num_bytes


def content_of(inputs: Sequence[Input]) -> list[list[str | None]]:
    """[name, content] of each input: what two lists of inputs are compared by."""
    return [[entry.name, entry.content] for entry in inputs]


def check_columns(spec: StoreSpec) -> None:
    """Refuse columns asked of a corpus that has none.

    Raises:
        InputError: all files are plain text.
    """
    if spec.corpus is None:
        return
    asked = [
        name
        for name, value in spec.corpus.model_dump().items()
        if name.endswith(("_column", "_columns")) and value
    ]
    location = spec.corpus.location
    parts = (location,) if isinstance(location, str) else location
    if not asked or any(part.startswith(HUB_PREFIX) for part in parts):
        return
    if all(file.format == "text" for part in parts for file in corpus_files(part)):
        raise InputError(
            "plain text has no columns",
            where=f"corpus.{asked[0]}",
            got=str(spec.corpus.model_dump()[asked[0]]),
            remedy="Leave it out, or give the texts as parquet or JSON lines",
        )
