"""Quantiles over many files: exact by counting, or sketched within the stated error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.difficulty.bands import band_edges
from gradatim.scoring.engines import LocalEngine
from gradatim.scoring.folder import exact_quantiles, sketched_quantiles
from gradatim.scoring.quantiles import SKETCH_SIZE, keys_of

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def write_parts(folder: Path, parts: list[list[float | None]]) -> list[str]:
    paths = []
    for index, values in enumerate(parts):
        path = folder / f"{index}.parquet"
        pq.write_table(pa.table({"x": pa.array(values, pa.float32())}), path)
        paths.append(str(path))
    return paths


@settings(max_examples=60)
@given(st.lists(st.lists(st.none() | FLOATS, max_size=30), max_size=5), st.integers(1, 7))
def test_exact_quantiles_are_order_statistics(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[float | None]], num_bands: int
) -> None:
    paths = write_parts(tmp_path_factory.mktemp("parts"), parts)
    known = sorted(value for part in parts for value in part if value is not None)
    found = exact_quantiles(paths, ["x"], num_bands)
    if not known:
        assert found == {}
        return
    wanted = [known[max(1, -(-len(known) * percent // 100)) - 1] for percent in range(101)]
    assert list(found["x"].values) == wanted
    assert found["x"].num_values == len(known)
    edges = [known[-(-len(known) * band // num_bands) - 1] for band in range(1, num_bands)]
    assert list(found["x"].edges) == edges


def test_edges_are_those_of_the_bands(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(10, 3, 1003).astype(np.float32)
    parts = [part.tolist() for part in np.array_split(values, 4)]
    found = exact_quantiles(write_parts(tmp_path, parts), ["x"], 8)
    assert list(found["x"].edges) == band_edges(values, 8).tolist()


@given(st.lists(FLOATS, min_size=2, max_size=20))
def test_keys_are_in_the_order_of_the_values(values: list[float]) -> None:
    array = np.array(values, np.float32)
    assert np.array_equal(np.sort(array), array[np.argsort(keys_of(array), kind="stable")])
    assert keys_of(np.float32([0.0]))[0] == keys_of(np.float32([-0.0]))[0]


def test_merged_sketches_stay_within_the_stated_error(tmp_path: Path) -> None:
    values = np.random.default_rng(1).gamma(2.0, 5.0, 40 * SKETCH_SIZE).astype(np.float32)
    parts = [part.tolist() for part in np.array_split(values, 7)]
    paths = write_parts(tmp_path, [*parts, [None, None]])
    found = sketched_quantiles(paths, ["x"], 10, LocalEngine(2))["x"]
    assert found.method == "kll"
    assert 0 < found.rank_error < 0.002
    assert found.num_values == values.size
    ordered = np.sort(values)
    ranks = np.searchsorted(ordered, found.values, side="right") / values.size
    # The stated error holds with a probability of 99 %; thrice it, practically always.
    assert np.abs(ranks - np.arange(101) / 100).max() <= 3 * found.rank_error + 1 / values.size
    assert (found.values[0], found.values[-1]) == (ordered[0], ordered[-1])
    assert sketched_quantiles(paths[-1:], ["x"], 10, LocalEngine(1)) == {}


def test_a_sketch_of_few_values_is_exact(tmp_path: Path) -> None:
    values = np.random.default_rng(2).normal(size=1000).astype(np.float32).tolist()
    paths = write_parts(tmp_path, [values[:400], values[400:]])
    sketched = sketched_quantiles(paths, ["x"], 5, LocalEngine(1))["x"]
    assert sketched.rank_error == 0.0
    assert sketched.values == exact_quantiles(paths, ["x"], 5)["x"].values
