from __future__ import annotations

import tempfile
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.blocks.packing import (
    Bucket,
    BucketWriter,
    bucket_file,
    half_year_of,
    read_chains,
    spans_of,
)
from gradatim.errors import StoreError

SEPARATOR = 0
DTYPE = np.dtype("<u2")
SPLITS = ("held_out", "train")

passages = st.lists(
    st.tuples(
        st.sampled_from(SPLITS),
        st.sampled_from([None, "a", "b"]),
        st.integers(0, 80),
        st.integers(0, 30),
    ),
    min_size=1,
    max_size=60,
)


def _packed(
    folder: Path, rows: list[tuple[Any, ...]], block_tokens: int, *, buffer: int, chunk: int
) -> tuple[list[Any], list[np.ndarray[Any, Any]]]:
    """Writes passages of distinct tokens; returns the chains and the blocks of each."""
    next_token = 1
    with BucketWriter(folder, buffer_tokens=buffer) as writer:
        for index, (split, level, half_year, length) in enumerate(rows):
            tokens = np.arange(next_token, next_token + length + 1, dtype=DTYPE)
            next_token += length
            tokens[-1] = SEPARATOR
            writer.append(
                Bucket(split, level, half_year), tokens, document=f"d{index}", source=f"s{index}"
            )
    chains = read_chains(folder, SPLITS)
    blocks = [
        np.concatenate(
            [
                np.zeros((0, block_tokens), DTYPE),
                *chain.blocks(block_tokens, DTYPE, chunk_blocks=chunk),
            ]
        )
        for chain in chains
    ]
    return chains, blocks


@settings(max_examples=60, deadline=None)
@given(rows=passages, block_tokens=st.integers(2, 40), chunk=st.integers(1, 5))
def test_every_token_of_every_passage_is_in_its_chain_once_and_in_order(
    rows: list[tuple[Any, ...]], block_tokens: int, chunk: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        chains, blocks = _packed(
            Path(folder) / "p", rows, block_tokens, buffer=1 << 20, chunk=chunk
        )
    # The plain truth: sort by split, level, half-year; equal ones stay as they came.
    starts = np.cumsum([1] + [row[3] for row in rows])
    key = {"held_out": 0, "train": 1}
    order = sorted(
        range(len(rows)), key=lambda i: (key[rows[i][0]], rows[i][1] or "", rows[i][2], i)
    )
    groups = [list(g) for _, g in groupby(order, key=lambda i: rows[i][:2])]
    assert [(chain.split, chain.level) for chain in chains] == [rows[g[0]][:2] for g in groups]
    for chain, chain_blocks, group in zip(chains, blocks, groups, strict=True):
        expected: list[int] = []
        for index in group:
            expected += [*range(starts[index], starts[index] + rows[index][3]), SEPARATOR]
        dropped = len(expected) % block_tokens
        assert chain.num_tokens == len(expected)
        assert chain_blocks.shape == (len(expected) // block_tokens, block_tokens)
        assert chain_blocks.reshape(-1).tolist() == expected[: len(expected) - dropped]
        assert chain.documents.to_pylist() == [f"d{index}" for index in group]
        assert chain.sources.to_pylist() == [f"s{index}" for index in group]


@settings(max_examples=30, deadline=None)
@given(rows=passages, buffer=st.integers(1, 300), chunk=st.integers(1, 9))
def test_blocks_are_the_same_whatever_the_buffers(
    rows: list[tuple[Any, ...]], buffer: int, chunk: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _, one = _packed(Path(folder) / "a", rows, 8, buffer=1 << 20, chunk=1000)
        _, two = _packed(Path(folder) / "b", rows, 8, buffer=buffer, chunk=chunk)
    assert [blocks.tolist() for blocks in one] == [blocks.tolist() for blocks in two]


@settings(max_examples=100, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=40),
    block_tokens=st.integers(2, 25),
    data=st.data(),
)
def test_spans_name_the_passage_of_every_token(
    lengths: list[int], block_tokens: int, data: st.DataObject
) -> None:
    starts = np.concatenate([[0], np.cumsum(lengths)])
    num_blocks = int(starts[-1]) // block_tokens
    first = data.draw(st.integers(0, num_blocks))
    spans = spans_of(
        starts, first_block=first, num_blocks=num_blocks - first, block_tokens=block_tokens
    )
    owner = np.repeat(np.arange(len(lengths)), lengths)
    for block in range(num_blocks - first):
        here = spans.block == block
        truth = owner[(first + block) * block_tokens :][:block_tokens]
        ends = [*spans.start_token[here][1:], block_tokens]
        spelled = [
            passage
            for passage, start, end in zip(
                spans.passage[here], spans.start_token[here], ends, strict=True
            )
            for _ in range(start, end)
        ]
        assert spelled == truth.tolist()


def test_half_years_by_a_table() -> None:
    ages = np.array([-3.0, 0.0, 0.49, 0.5, 7.2, 7.5, 39.99, 40.0, 1000.0])
    assert half_year_of(ages).tolist() == [0, 0, 0, 1, 14, 15, 79, 80, 80]


def test_a_shortened_bucket_file_is_noticed(tmp_path: Path) -> None:
    rows = [("train", None, 3, 20), ("train", None, 3, 20)]
    chains, _ = _packed(tmp_path / "p", rows, 4, buffer=1 << 20, chunk=10)
    file = bucket_file(tmp_path / "p", 0)
    file.write_bytes(file.read_bytes()[:-6])
    with pytest.raises(StoreError, match="damaged; expected 42 tokens; got 39"):
        list(chains[0].blocks(4, DTYPE))


def test_an_interrupted_writer_leaves_no_list_of_buckets(tmp_path: Path) -> None:
    def interrupted() -> None:
        with BucketWriter(tmp_path / "p") as writer:
            writer.append(Bucket("train", None, 1), np.ones(3, DTYPE), document="d", source="s")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not (tmp_path / "p" / "buckets.json").exists()
