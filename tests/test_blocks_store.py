from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gradatim.blocks.columns import Labels, column_checksums
from gradatim.blocks.description import BLOCKS, checksums_of
from gradatim.blocks.schema import BLOCK_SCHEMA, NUMBERS
from gradatim.blocks.store import SPLITS, Store, fingerprint_of
from gradatim.errors import StoreError
from gradatim.files import hash_json


def describe(folder: Path, **changes: Any) -> None:
    """Change a store's description by a hand that knows its checksums."""
    content = json.loads((folder / "store.json").read_text()) | changes
    content.pop("checksum", None)
    content["checksum"] = hash_json(content)
    (folder / "store.json").write_text(json.dumps(content))


def write_checksums(folder: Path) -> None:
    """Write those of a table that was changed by a hand that knows them."""
    tokens = np.fromfile(folder / "checksums.bin", "<u4")[: len(pq.read_table(folder / BLOCKS))]
    np.append(tokens, column_checksums(folder / BLOCKS)).tofile(folder / "checksums.bin")
    describe(folder, checksums=checksums_of(folder))


@pytest.fixture
def copy(world_store: Store, tmp_path: Path) -> Path:
    shutil.copytree(world_store.path, tmp_path / "store")
    return tmp_path / "store"


def test_a_read_gives_the_blocks_asked_for_in_that_order(world_store: Store) -> None:
    whole = np.fromfile(world_store.path / "tokens.bin", "<u2").reshape(
        -1, world_store.block_tokens
    )
    ids = np.array([5, 0, 5, len(whole) - 1], dtype=np.uint32)
    blocks = world_store.read(ids)
    assert blocks.dtype == np.int64
    assert blocks.tolist() == whole[ids].tolist()


def test_the_table_has_a_row_a_block_in_the_schema(world_store: Store) -> None:
    table = pq.read_table(world_store.path / "blocks.parquet")
    assert table.schema.equals(BLOCK_SCHEMA)
    assert world_store.column("block_id").tolist() == list(range(world_store.num_blocks))
    for name in NUMBERS:
        column = world_store.column(name)
        assert column.dtype == table[name].to_numpy().dtype
        assert column.tolist() == table[name].to_pylist()


def test_ids_part_the_store_by_split(world_store: Store) -> None:
    ids = [world_store.ids(split) for split in SPLITS]
    assert all(part.dtype == np.uint32 for part in ids)
    assert sorted(np.concatenate(ids).tolist()) == list(range(world_store.num_blocks))
    split_of_block = pq.read_table(world_store.path / "blocks.parquet")["split"].to_pylist()
    for split, part in zip(SPLITS, ids, strict=True):
        assert {split_of_block[block] for block in part.tolist()} == {split}
    assert len(world_store.ids("validation")) == 0


def test_what_is_read_of_a_split_is_that_part_of_the_whole(world_store: Store) -> None:
    for split in SPLITS:
        ids = world_store.ids(split)
        for name in ("reading_age", "bytes"):
            whole = world_store.column(name)
            assert world_store.column(name, split).tolist() == whole[ids].tolist()
        assert world_store.bands(3, split).tolist() == world_store.bands(3)[ids].tolist()
        for name in ("level", "source"):
            whole, part = world_store.labels(name), world_store.labels(name, split)
            assert texts(part) == [texts(whole)[block] for block in ids.tolist()]
            assert list(part.names) == sorted(set(texts(part)))


def texts(labels: Labels) -> list[str]:
    return [labels.names[code] for code in labels.codes]


@pytest.mark.parametrize("group_rows", [1, 7, 1000])
def test_labels_and_fingerprint_depend_on_the_values_alone(
    copy: Path, world_store: Store, group_rows: int
) -> None:
    """On missing labels too, and on more of them than a byte counts, whatever the groups."""
    table = pq.read_table(copy / "blocks.parquet")
    levels = [None if row % 5 == 2 else f"level {row % 299}" for row in range(len(table))]
    at = table.schema.get_field_index("level")
    table = table.set_column(at, BLOCK_SCHEMA.field("level"), pa.array(levels, pa.string()))
    pq.write_table(table, copy / "blocks.parquet", row_group_size=group_rows)
    write_checksums(copy)
    labels = Store.open(copy).labels("level")
    assert texts(labels) == [level or "" for level in levels]
    assert labels.names == tuple(sorted(set(texts(labels))))
    assert labels.codes.dtype == np.uint16
    assert world_store.labels("level").codes.dtype == np.uint8

    digest = hashlib.blake2b(b"any", digest_size=16)
    for name in ("tokens.bin", "tasks.jsonl"):
        digest.update(hashlib.blake2b((copy / name).read_bytes(), digest_size=16).digest())
    for name in BLOCK_SCHEMA.names[:-1]:
        column = table[name].combine_chunks()
        if name in ("split", "level", "source"):
            coded = column.dictionary_encode(null_encoding="encode")
            digest.update(json.dumps(coded.dictionary.to_pylist()).encode())
            column = coded.indices
        digest.update(column.to_numpy().tobytes())
    assert fingerprint_of(copy, "any") == digest.hexdigest()


def test_bands_part_the_training_split_evenly(world_store: Store) -> None:
    bands = world_store.bands(4)
    train = world_store.ids("train")
    ages = world_store.column("reading_age")
    counts = np.bincount(bands[train])[1:]
    assert len(counts) == 4
    assert counts.min() > 0.2 * len(train)
    for band in (1, 2, 3):
        assert ages[bands == band].max() <= ages[bands == band + 1].min()


def test_bytes_are_those_of_the_targets(world_store: Store) -> None:
    tokens = world_store.read(np.arange(world_store.num_blocks))
    expected = world_store.vocabulary.num_bytes.astype(np.int64)[tokens[:, 1:]].sum(axis=1)
    assert world_store.column("bytes").tolist() == expected.tolist()
    assert world_store.vocabulary.num_bytes[world_store.separator_id] == 0


@pytest.mark.parametrize(
    ("name", "position"), [("tokens.bin", 1000), ("tasks.jsonl", 400), ("tokenizer.json", -900)]
)
def test_a_changed_byte_is_found_by_verify(copy: Path, name: str, position: int) -> None:
    Store.open(copy).verify()  # as long as it is whole, there is nothing to find
    data = bytearray((copy / name).read_bytes())
    data[position] = ord("x") if data[position] != ord("x") else ord("y")
    (copy / name).write_bytes(data)
    store = Store.open(copy)  # cheap: it does not look
    with pytest.raises(StoreError, match=rf"{name} (is not as it was written|cannot be read)"):
        store.verify()


def test_content_of_another_fingerprint_is_found_by_verify(copy: Path) -> None:
    describe(copy, fingerprint="0" * 32)
    with pytest.raises(StoreError, match=r"its content hashes to [0-9a-f]{32}, not 0{32}"):
        Store.open(copy).verify()


def test_a_block_that_changed_is_named_by_whatever_reads_it(copy: Path) -> None:
    store = Store.open(copy)
    for block_id in (0, 7, store.num_blocks - 1):
        tokens = np.memmap(copy / "tokens.bin", "<u2", "r+").reshape(-1, store.block_tokens)
        tokens[block_id, -1] ^= 1
        named = rf"damaged: block {block_id} of tokens.bin is not as .* Delete the folder and"
        for read in (store.text, lambda at: store.read([at]), lambda at: store.read([3, at, at])):
            with pytest.raises(StoreError, match=named):
                read(block_id)
        assert store.read([1, 2]).shape == (2, store.block_tokens)
        tokens[block_id, -1] ^= 1
        store.read([block_id])
    with pytest.raises(StoreError, match=rf"no such block; expected ids below {store.num_blocks}"):
        store.read([store.num_blocks])


@pytest.mark.parametrize(
    "name", ["tokens.bin", "checksums.bin", "blocks.parquet", "tokenizer.json"]
)
def test_a_missing_part_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(StoreError, match=f"damaged: {name} is missing. Delete the folder and"):
        Store.open(copy)


def test_a_short_token_file_is_named(copy: Path) -> None:
    data = (copy / "tokens.bin").read_bytes()
    (copy / "tokens.bin").write_bytes(data[:-2])
    with pytest.raises(StoreError, match=f"tokens.bin has {len(data) - 2} bytes, .* {len(data)}"):
        Store.open(copy)


def test_a_broken_table_is_named(copy: Path) -> None:
    (copy / "blocks.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(StoreError, match=r"blocks.parquet is no parquet file"):
        Store.open(copy)


def test_a_table_of_too_few_rows_is_named(copy: Path) -> None:
    table = pq.read_table(copy / "blocks.parquet")
    pq.write_table(table.slice(1), copy / "blocks.parquet")
    write_checksums(copy)
    message = f"blocks.parquet has {len(table) - 1} rows, not {len(table)}"
    with pytest.raises(StoreError, match=message):
        Store.open(copy)


@pytest.mark.parametrize("version", [1, 2, 99])
def test_a_store_of_another_version_asks_to_be_built_anew(copy: Path, version: int) -> None:
    describe(copy, schema_version=version)
    with pytest.raises(
        StoreError, match=rf"expected schema_version 4; got {version}. Make it anew"
    ):
        Store.open(copy)


def test_splits_that_are_not_the_blocks_are_found(copy: Path) -> None:
    splits = json.loads((copy / "store.json").read_text())["splits"]
    splits["held_out"][1] += 1
    describe(copy, splits=splits)
    with pytest.raises(StoreError, match=r"its splits .* are not \d+ blocks"):
        Store.open(copy)
    splits["out_of_distribution"][0] += 1
    describe(copy, splits=splits)
    with pytest.raises(StoreError, match=r"not all blocks in the range of held_out are of it"):
        Store.open(copy).verify()


@pytest.mark.parametrize("text", ["{", "[]", '{"schema_version": 4}', "\xff"])
def test_a_damaged_description_is_named(copy: Path, text: str) -> None:
    (copy / "store.json").write_text(text, encoding="latin-1")
    with pytest.raises(StoreError, match=r"store.json cannot be read"):
        Store.open(copy)


def test_a_folder_without_a_store_says_how_to_build_one(tmp_path: Path) -> None:
    with pytest.raises(
        StoreError, match=r"this is no block store; .*Build it with `gradatim build`"
    ):
        Store.open(tmp_path)


def test_an_unknown_column_lists_the_known_ones(world_store: Store) -> None:
    with pytest.raises(StoreError, match=r"expected block_id, bytes, read.*got reading_year"):
        world_store.column("reading_year")
    with pytest.raises(StoreError, match=r"expected split, level, source; got bytes"):
        world_store.labels("bytes")
