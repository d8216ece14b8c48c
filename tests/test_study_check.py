"""What a study asks of its store is checked before the first FLOP, by `plan` and by `study`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gradatim import verbs
from gradatim.blocks.store import Store
from gradatim.errors import GradatimError
from small_corpus import write_corpus
from study_of_seconds import small_study

GOOD = {"data": {"kind": "ceiling", "easiest_used_fraction": 0.3}}
EPOCHS = [{"kind": "learn", "epochs": 1}, {"kind": "focus", "epochs": 1, "drop": 0.5}]
LEVELS = dict.fromkeys("abcdef", 1)


def staged(weights: dict[str, float], **more: Any) -> dict[str, Any]:
    return {"data": {"kind": "stages", "stages": [{"until": 1, "weights": weights}], **more}}


def refused(study_file: Path, message: str) -> None:
    """By `plan` and by `study`, in one line, before anything is written."""
    for ask in (verbs.plan, verbs.study):
        with pytest.raises(GradatimError, match=message) as raised:
            ask(study_file, study_file.parent / "out")
        assert "\n" not in str(raised.value)
    assert not (study_file.parent / "out").exists()


BAD = [
    ({"data": {"kind": "ceiling", "metric": "readng_age"}}, "arms.bad.*no such metric"),
    ({"data": {"kind": "ceiling", "metric": "ref/loss_mean"}}, r"scores.*got ref"),
    (staged({"a": 1, "z": 1}), r"arms.bad.*data.stages.0.weights: no block has this level"),
]


@pytest.mark.parametrize(("arm", "message"), BAD)
def test_an_arm_its_store_cannot_serve_is_refused_before_the_good_ones_train(
    arm: dict[str, Any], message: str, world_store: Store, tmp_path: Path
) -> None:
    study_file = tmp_path / "study.yaml"
    spec = small_study(world_store.path, arms={"good": GOOD, "bad": arm})
    study_file.write_text(spec.to_yaml(), encoding="utf-8")
    refused(study_file, message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"arms": {"bad": staged({"spectrum": 1, "web": 1}, by="source")}},
            r"arms.bad, rung 10k: data.stages.0.weights: no block has this source",
        ),
        (
            {
                "arms": {"bad": {"data": {"kind": "phases", "phases": EPOCHS}}},
                "budget": {"tokens": 600_000},
                "tune": {"rate": [0.1, 0.2], "budget_fraction": 0.01},
            },
            r"arms.bad, rung 10k, trial of tune: data.phases: .* more epochs than the run",
        ),
        (
            {"tune": {"rate": [0.1, 0.2], "budget_fraction": 0.01}},
            r"arms.uniform, rung 10k, trial of tune: budget_flops: .* buys no training step",
        ),
        (
            {"arms": {"bad": {"data": {"kind": "bandit", "lag_steps": 1000}}}},
            r"arms.bad, rung 10k: data.lag_steps: the run ends before",
        ),
        (
            {"arms": {"bad": staged({"a": 1})}, "sample": "budget"},
            r"arms.bad, rung 10k: data.stages: blocks of this level are in the sample",
        ),
        ({"budget": {"tokens": 10}}, "the budget does not pay for a single step|budget"),
        ({"baseline_budgets": [0.001]}, "budget"),
    ],
)
def test_what_only_the_blocks_can_tell_is_asked_of_them(
    changes: dict[str, Any], message: str, world_store: Store, tmp_path: Path
) -> None:
    study_file = tmp_path / "study.yaml"
    spec = small_study(world_store.path, **changes)
    study_file.write_text(spec.to_yaml(), encoding="utf-8")
    refused(study_file, message)


def test_a_store_without_held_out_blocks_is_refused_at_once(
    world_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study_file = tmp_path / "study.yaml"
    study_file.write_text(small_study(world_store.path).to_yaml(), encoding="utf-8")
    ids = Store.ids
    monkeypatch.setattr(
        Store, "ids", lambda store, split: ids(store, split)[: 0 if split == "held_out" else None]
    )
    refused(study_file, "no held-out block to evaluate on")


@pytest.mark.parametrize(("arm", "message"), BAD)
def test_what_settings_tell_of_a_store_is_known_before_it_is_built(
    arm: dict[str, Any], message: str, tmp_path: Path
) -> None:
    study_file = tmp_path / "study.yaml"
    store = {"spectrum": {"num_bytes": 240_000}, "block_tokens": 64}
    spec = small_study(None, store=store, arms={"good": GOOD, "bad": arm})
    study_file.write_text(spec.to_yaml(), encoding="utf-8")
    refused(study_file, message)


def test_a_corpus_that_is_not_there_is_known_before_anything_is_built(tmp_path: Path) -> None:
    study_file = tmp_path / "study.yaml"
    store = {"corpus": str(tmp_path / "nowhere" / "*.txt"), "block_tokens": 64}
    spec = small_study(None, store=store, arms={"good": GOOD})
    study_file.write_text(spec.to_yaml(), encoding="utf-8")
    refused(study_file, r"nowhere")


def test_a_plan_asks_the_store_that_an_earlier_start_built(tmp_path: Path) -> None:
    corpus = str(write_corpus(tmp_path / "texts.jsonl"))
    store = {
        "corpus": {"location": corpus, "level_column": "level"},
        "tokenizer": {"vocab_size": 300, "sample_bytes": 20_000},
        "block_tokens": 32,
        "held_out_fraction": 0.3,
    }
    study_file = tmp_path / "study.yaml"
    spec = small_study(None, store=store, arms={"bad": staged({"easy": 1, "none": 1})})
    study_file.write_text(spec.to_yaml(), encoding="utf-8")
    assert verbs.plan(study_file, tmp_path / "out").num_runs == 2  # only the blocks could tell
    verbs.build(store, tmp_path / "out" / "store")
    message = r"arms.bad, rung 10k: data.stages.0.weights: .*one of easy, hard; got none"
    for ask in (verbs.plan, verbs.study):
        with pytest.raises(GradatimError, match=message):
            ask(study_file, tmp_path / "out")
    with pytest.raises(GradatimError, match=r"another store lies there"):
        verbs.plan(study_file, tmp_path / "out", changes=["store.block_tokens=64"])
