"""A column of numbers of the corpus as a metric: from the document to what a curriculum opens."""

from __future__ import annotations

import json
import math
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from gradatim.blocks.build import build
from gradatim.blocks.spec import StoreSpec
from gradatim.blocks.store import Store
from gradatim.errors import InputError
from gradatim.settings import read_yaml
from gradatim.study.spec import parse_study
from gradatim.timelines.data.ceiling import Ceiling, ceiling_order
from gradatim.train.order import block_table
from small_corpus import prose

PAGE = Path(__file__).parents[1] / "docs" / "own-difficulty.md"


def write_rows(file: Path, *, num_documents: int = 60) -> list[dict[str, Any]]:
    """Documents of one kind of prose, so that only `my_age` tells them apart; a sixth has none."""
    draw = random.Random(4)
    rows: list[dict[str, Any]] = []
    for index in range(num_documents):
        row: dict[str, Any] = {"id": f"d{index}", "text": prose(7 * index, 900), "rank": index}
        if index % 6:
            row["my_age"] = round(draw.uniform(4, 20), 3)
        rows.append(row)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


def spec_of(location: Path, columns: Any, **changes: Any) -> StoreSpec:
    settings = {
        "corpus": {"location": str(location), "difficulty_columns": columns},
        "tokenizer": {"vocab_size": 400},
        "block_tokens": 32,
        "held_out_fraction": 0.2,
    }
    return StoreSpec.model_validate(settings | changes)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return write_rows(tmp_path_factory.mktemp("rows") / "texts.jsonl")


@pytest.fixture(scope="module")
def store(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("own")
    file = folder / "texts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return build(spec_of(file, ["my_age", "rank"]), folder / "store")


def test_a_block_has_the_mean_of_its_documents_by_bytes(
    store: Store, rows: list[dict[str, Any]]
) -> None:
    of_document = {row["id"]: row for row in rows}
    table = pq.read_table(store.path / "blocks.parquet").to_pylist()
    num_bytes = store.vocabulary.num_bytes.astype(int)
    num_mixed = num_without = 0
    for block, tokens in zip(table, store.tokens, strict=True):
        ends = [span["start_token"] for span in block["spans"][1:]] + [len(tokens)]
        for name in ("my_age", "rank"):
            weights, values = [], []
            for span, end in zip(block["spans"], ends, strict=True):
                value = of_document[span["document"]].get(name)
                if value is not None:
                    weights.append(num_bytes[tokens[span["start_token"] : end]].sum())
                    values.append(value)
            if not sum(weights):
                assert math.isnan(block[name])
                num_without += 1
            else:
                assert block[name] == pytest.approx(np.average(values, weights=weights), rel=1e-5)
                num_mixed += len(set(values)) > 1
    assert num_mixed > 10
    assert num_without > 10
    assert store.column("rank").tolist() == [block["rank"] for block in table]
    store.verify()


def test_a_ceiling_opens_the_lowest_numbers_first_and_blocks_without_one_last(
    store: Store,
) -> None:
    table = block_table(store)
    spec = Ceiling(metric="my_age", sample="all")
    order = ceiling_order(spec, table, num_draws=len(table), seed=0)
    values = dict(zip(table.ids.tolist(), table.difficulty("my_age").tolist(), strict=True))
    steps = 8
    drawn = [order.draw(step / steps, len(table) // steps) for step in range(steps)]
    means = [float(np.nanmean([values[block] for block in part.tolist()])) for part in drawn]
    assert means[0] < means[3] - 1
    assert not any(math.isnan(values[block]) for block in drawn[0].tolist())
    assert spec.controls().keys() == {"shuffled", "reversed"}


def test_numbers_change_the_fingerprint_and_a_changed_one_is_found(
    store: Store, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    rows = [row | {"rank": row["rank"] + 1} for row in rows]
    file = tmp_path / "texts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    other = build(spec_of(file, ["my_age", "rank"]), tmp_path / "store")
    assert np.array_equal(other.tokens, store.tokens)
    assert other.fingerprint != store.fingerprint


def test_parquet_columns_of_integers_serve_too(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    table = pa.table({name: [row.get(name) for row in rows] for name in ("id", "text", "rank")})
    pq.write_table(table, tmp_path / "texts.parquet")
    store = build(spec_of(tmp_path / "texts.parquet", "rank"), tmp_path / "store")
    assert store.difficulty_columns == ("rank",)
    assert 0 <= store.column("rank").min() < store.column("rank").max() <= 59


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["reading_age"], "'reading_age' cannot be a metric of your own; rename"),
        (["bytes"], "'bytes' cannot be a metric of your own"),
        (["a/b"], "'a/b' cannot be a metric of your own"),
        ([""], "'' cannot be a metric of your own"),
        (["x", "x"], "named twice"),
    ],
)
def test_names_of_built_in_columns_are_refused(columns: list[str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        spec_of(Path("a.jsonl"), columns)


def test_a_column_that_is_not_there_is_named(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    write_rows(tmp_path / "texts.jsonl")
    with pytest.raises(InputError, match=r"no document has a number.*got nosuch"):
        build(spec_of(tmp_path / "texts.jsonl", ["nosuch"]), tmp_path / "store")


def test_the_example_of_the_page_works_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(Path("texts.jsonl"), num_documents=200)
    example = re.search(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert example
    study = parse_study(read_yaml(example[1], where="page"), where="page")
    assert study.store is not None
    store = build(study.store, "store")
    data = study.recipes()["mine"].data
    assert data.metrics == ("my_age",)
    assert isinstance(data, Ceiling)
    order = ceiling_order(data, block_table(store), num_draws=100, seed=0)
    assert len(order.draw(0.0, 4)) == 4
