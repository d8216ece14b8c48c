"""`store.json`: what a block store holds, and how its other files are known to be whole.

Every file that decides a result is compared with what the build wrote, when it is read:

    tokens.bin       each block, by its CRC-32 in `checksums.bin`
    blocks.parquet   its footer, by `checksums`; each column of a group of rows, by its CRC-32 there
    tokenizer.json   its content, by `tokenizer_fingerprint`
    tasks.jsonl      all of it, by `checksums`
    store.json       all of it, by its own `checksum`
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from gradatim.errors import StoreError, check_version
from gradatim.files import content_hash, hash_file, hash_json, write_whole

SCHEMA_VERSION = 4

TOKENS, CHECKSUMS, BLOCKS, TOKENIZER = (
    "tokens.bin", "checksums.bin", "blocks.parquet", "tokenizer.json",
)  # fmt: skip
TASKS, DESCRIPTION = "tasks.jsonl", "store.json"


class StoreDescription(BaseModel):
    """The content of `store.json`.

    Attributes:
        splits: of each split the first id and the one after its last.
        fingerprint: of tokens, block table, tokenizer and tasks: of what a run can see.
        corpus_fingerprint: of the content of the corpus files, or of the graded world's settings.
        checksums: what `checksums_of` gave at the build.
        settings: the `StoreSpec` asked for.
        inputs: the corpus files as they were: name, bytes, time of change, hash.
        report: what the build did: counts, losses of text, seconds a stage.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int
    block_tokens: int
    vocab_size: int
    dtype: str
    num_blocks: int
    splits: dict[str, tuple[int, int]]
    separator_id: int
    fingerprint: str
    corpus_fingerprint: str
    tokenizer_fingerprint: str
    checksums: dict[str, str]
    settings: dict[str, Any]
    inputs: list[dict[str, Any]]
    report: dict[str, Any]


class Task(BaseModel):
    """One evaluation item: a prompt, its possible answers, and which of them is right."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    level: str
    split: str
    prompt: str
    choices: tuple[str, ...]
    answer_index: int
    num_hops: int
    chance: float


def write_description(path: Path, description: StoreDescription) -> None:
    """Write `store.json`, with a checksum over the rest of it."""
    content = json.loads(json.dumps(description.model_dump()))
    content["checksum"] = hash_json(content)
    write_whole(path / DESCRIPTION, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_description(path: Path) -> StoreDescription:
    """Reads `store.json`.

    Raises:
        StoreError: there is none, or it is of another version or damaged.
    """
    file = path / DESCRIPTION
    if not file.is_file():
        is_building = path.with_name(path.name + ".building").exists()
        raise StoreError(
            "this is no block store",
            where=str(path),
            expected=f"a folder with {DESCRIPTION}",
            got="a build that has not finished" if is_building else None,
            remedy="Build it with `gradatim build`",
        )
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        check_version(content.get("schema_version"), SCHEMA_VERSION, file, StoreError)
        if content.pop("checksum") != hash_json(content):
            raise damaged(path, f"{DESCRIPTION} is not as it was written")
        return StoreDescription.model_validate(content)
    except (OSError, ValueError, AttributeError, KeyError, TypeError, ValidationError) as error:
        raise damaged(path, f"{DESCRIPTION} cannot be read ({_one_line(error)})") from error
    except RecursionError as error:
        raise damaged(path, f"{DESCRIPTION} is nested too deeply") from error


def read_tasks(path: Path, description: StoreDescription) -> list[Task]:
    """The evaluation items of a store, compared with their checksum.

    Raises:
        StoreError: they are not as the build wrote them.
    """
    file, expected = path / TASKS, description.checksums.get(TASKS)
    if not file.exists() and expected is None:
        return []
    try:
        if hash_file(file) != expected:
            raise damaged(path, f"{TASKS} is not as it was written")
        with file.open(encoding="utf-8") as lines:
            return [Task.model_validate_json(line) for line in lines]
    except (OSError, ValueError) as error:
        raise damaged(path, f"{TASKS} cannot be read ({_one_line(error)})") from error


def ranges_of(num_blocks: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """First id and the one after the last of each split, in the order in which they are packed."""
    return dict(zip(num_blocks, pairwise(accumulate(num_blocks.values(), initial=0)), strict=True))


def checksums_of(path: Path) -> dict[str, str]:
    """By name, hashes of the small files of a store and of the footer of its table."""
    tasks = {TASKS: hash_file(path / TASKS)} if (path / TASKS).exists() else {}
    return {BLOCKS: footer_checksum(path / BLOCKS), **tasks}


def footer_checksum(file: Path) -> str:
    """32 hex digits over a parquet file's footer: the schema, and where each column's pages lie."""
    with file.open("rb") as table:
        table.seek(-8, 2)
        num_bytes = int.from_bytes(table.read(4), "little")
        table.seek(-min(8 + num_bytes, table.seek(0, 2)), 2)
        return str(content_hash(table.read()).hexdigest())


def damaged(path: Path, what: str) -> StoreError:
    """The error for a store that is not what the build left."""
    return StoreError(
        f"the store is damaged: {what}",
        where=str(path),
        remedy="Delete the folder and build it again",
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
