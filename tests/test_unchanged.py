"""What the loop learned before it had a clock of changing costs, it learns still.

Two things were changed on purpose: a run's random numbers carry its rung, and weights are drawn by
name. With those switched off, orders and losses are those of before: here for a tiny run, and
slowly for the demo and a small study of books. Losses are compared to 1e-6, for another processor
adds up in another order; on the machine that wrote the numbers they are equal to the last bit.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from gradatim.blocks.build import build
from gradatim.record.spec import run_id
from gradatim.settings import read_yaml_file
from gradatim.study.single import run
from gradatim.study.spec import StudySpec, parse_study
from gradatim.train.run import train
from old_initialisation import initialise_sequentially
from tiny_runs import HeldOutLoss, TinyStore, tiny_spec

ROOT = Path(__file__).parents[1]
GOLDEN = json.loads((Path(__file__).parent / "golden" / "before_the_clock.json").read_text())

TINY: dict[str, tuple[dict[str, Any], str, float]] = {
    "uniform": ({"kind": "uniform"}, "5396726782aecfaf", 3.776660442352295),
    "budget": ({"kind": "uniform", "sample": "budget"}, "af885545eca127ee", 3.775156021118164),
    "ceiling": ({"kind": "ceiling"}, "ddfa9600cc058965", 3.7667880058288574),
    "reversed": (
        {"kind": "ceiling", "control": "reversed", "pacing": "root"},
        "a9420e580f6e557d",
        3.7970123291015625,
    ),
    "stages": (
        {
            "kind": "stages",
            "by": "source",
            "stages": [
                {"until": 0.25, "weights": {"tiny": 1}},
                {"until": 1, "weights": {"tiny": 2}},
            ],
        },
        "bdae21ecdaf5628a",
        3.7702903747558594,
    ),
}


@pytest.fixture
def as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeds alone, and weights one after the other."""
    torch.set_num_threads(1)
    monkeypatch.setattr("gradatim.train.run.run_key", lambda seed, rung: seed)
    monkeypatch.setattr("gradatim.model.network.initialise", initialise_sequentially)


@pytest.mark.usefixtures("as_before")
@pytest.mark.parametrize("name", TINY)
def test_a_tiny_run_is_what_it_was(tmp_path: Path, name: str) -> None:
    data, order_hash, loss = TINY[name]
    store = TinyStore()
    record = train(tiny_spec(60, data), tmp_path, store, evaluate=HeldOutLoss(store))  # type: ignore[arg-type]
    assert record.finish is not None
    assert record.finish["order_hash"] == order_hash
    assert record.finish["final_bits_per_byte"] == pytest.approx(loss, rel=1e-6)


def test_without_the_switches_it_is_another_run(tmp_path: Path) -> None:
    record = train(tiny_spec(60), tmp_path, TinyStore())  # type: ignore[arg-type]
    assert record.finish is not None
    assert record.finish["order_hash"] != TINY["ceiling"][1]


def books_study() -> StudySpec:
    """The golden study of books: two rungs, a ceiling with its controls, two seeds."""
    corpus = ROOT.parent / "shared" / "data" / "books.parquet"
    if not corpus.exists():
        pytest.skip(f"{corpus} is not here")
    values = read_yaml_file(ROOT / "studies" / "books-reading-age.yaml")
    values["store"]["corpus"]["location"] = str(corpus)
    smaller = {"rungs": ["20k", "50k"], "seeds": 2, "budget": {"tokens": 300_000}}
    evaluation = {"num_points": 4, "num_blocks": 40, "num_bands": 5, "num_samples": 1}
    return parse_study(values | smaller | {"evaluation": evaluation}, where="books")


def demo_study() -> StudySpec:
    return parse_study(read_yaml_file(ROOT / "src/gradatim/study/demo.yaml"), where="demo")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("as_before")
@pytest.mark.parametrize(("name", "study"), [("demo", demo_study), ("books", books_study)])
def test_a_whole_study_is_what_it_was(tmp_path: Path, name: str, study: Any) -> None:
    spec = study()
    store = build(spec.store, tmp_path / "store")
    found = {}
    for each in spec.runs(store):
        finish = run(each, tmp_path / run_id(each)).finish
        assert finish is not None
        found[f"{each.arm}/{each.rung}/{each.seed}"] = [
            finish["order_hash"],
            finish["final_bits_per_byte"],
        ]
    num_equal = sum(found.get(key) == golden for key, golden in GOLDEN[name].items())
    print(f"{name}: {num_equal} of {len(found)} runs are equal to the last bit")
    assert found.keys() == GOLDEN[name].keys()
    for key, (order_hash, bits) in GOLDEN[name].items():
        assert found[key][0] == order_hash, key
        assert found[key][1] == pytest.approx(bits, rel=1e-6), key
