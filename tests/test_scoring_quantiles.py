"""Quantiles over many files: exact by counting."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.difficulty.bands import band_edges
from gradatim.scoring import quantiles
from gradatim.scoring.engines import LocalEngine
from gradatim.scoring.quantiles import exact_quantiles, keys_of

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
    found = exact_quantiles(paths, ["x"], num_bands, LocalEngine(2))
    if not known:
        assert found == {}
        return
    wanted = [known[max(1, -(-len(known) * percent // 100)) - 1] for percent in range(101)]
    assert list(found["x"].values) == wanted
    assert found["x"].num_values == len(known)
    edges = [known[-(-len(known) * band // num_bands) - 1] for band in range(1, num_bands)]
    assert list(found["x"].edges) == edges


def test_edges_are_those_of_the_bands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantiles, "_MOST_WAITING", 100)  # counts are merged on the way
    values = np.random.default_rng(0).normal(10, 3, 1003).astype(np.float32)
    parts = [part.tolist() for part in np.array_split(values, 4)]
    found = exact_quantiles(write_parts(tmp_path, parts), ["x"], 8, LocalEngine(1))
    assert list(found["x"].edges) == band_edges(values, 8).tolist()


@given(st.lists(FLOATS, min_size=2, max_size=20))
def test_keys_are_in_the_order_of_the_values(values: list[float]) -> None:
    array = np.array(values, np.float32)
    assert np.array_equal(np.sort(array), array[np.argsort(keys_of(array), kind="stable")])
    assert keys_of(np.float32([0.0]))[0] == keys_of(np.float32([-0.0]))[0]
