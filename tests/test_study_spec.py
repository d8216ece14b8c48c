from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gradatim.blocks.store import Store
from gradatim.compute import num_matmul_parameters, training_flops
from gradatim.errors import SpecError
from gradatim.record.spec import run_id
from gradatim.study.spec import load_study, parse_study

STUDY: dict[str, Any] = {
    "name": "small",
    "store": {"spectrum": {"num_bytes": 240_000}, "block_tokens": 64},
    "rungs": ["10k", "20k"],
    "arms": {"ceiling": {"data": {"kind": "ceiling", "easiest_used_fraction": 0.2}}},
    "seeds": 2,
    "budget": {"tokens": 20_000},
    "batch_blocks": 4,
}

OWN = {"num_layers": 2, "width": 16, "num_heads": 2}


def changed(**changes: Any) -> dict[str, Any]:
    return {**STUDY, **changes}


def test_the_baseline_and_the_controls_come_without_asking() -> None:
    recipes = parse_study(STUDY, where="x").recipes()
    assert list(recipes) == ["uniform", "ceiling", "ceiling-shuffled", "ceiling-reversed"]
    assert recipes["ceiling-shuffled"].data.control == "shuffled"
    assert recipes["ceiling-reversed"].data.control == "reversed"
    assert recipes["ceiling"].rate == recipes["ceiling-shuffled"].rate
    assert list(parse_study(changed(controls="none"), where="x").recipes()) == [
        "uniform",
        "ceiling",
    ]


def test_arms_lie_over_the_shared_recipe() -> None:
    values = changed(
        recipe={"rate": {"kind": "cosine", "warmup_fraction": 0.1}},
        arms={"slow": {"rate": {"warmup_fraction": 0.3}}, "flat": {"rate": {"kind": "constant"}}},
    )
    recipes = parse_study(values, where="x").recipes()
    assert recipes["uniform"].rate.warmup_fraction == 0.1
    assert (recipes["slow"].rate.kind, recipes["slow"].rate.warmup_fraction) == ("cosine", 0.3)
    # Another kind is another schedule: nothing of the old one is kept.
    assert recipes["flat"].rate.kind == "constant"
    assert recipes["flat"].rate.warmup_fraction != 0.1


def test_runs_are_the_whole_product_with_distinct_ids(world_store: Store) -> None:
    runs = parse_study(STUDY, where="x").runs(world_store)
    assert len(runs) == 2 * 4 * 2
    assert len({run_id(run) for run in runs}) == len(runs)
    assert {run.store.fingerprint for run in runs} == {world_store.fingerprint}


@pytest.mark.parametrize(
    ("budget", "tokens"),
    [({"tokens": 5_000}, 5_000), ({"tokens_per_parameter": 3}, None)],
)
def test_every_budget_becomes_flops(budget: dict[str, float], tokens: float | None) -> None:
    spec = parse_study(changed(budget=budget), where="x")
    shape = spec.shapes(vocab_size=512, context_tokens=64)["20k"]
    tokens = tokens if tokens is not None else 3 * num_matmul_parameters(shape)
    assert spec.budget_flops(shape) == pytest.approx(training_flops(shape, 64) / 64 * tokens)


def test_a_budget_in_flops_is_the_same_at_every_rung(world_store: Store) -> None:
    runs = parse_study(changed(budget={"flops": 1e12}), where="x").runs(world_store)
    assert {run.budget_flops for run in runs} == {1e12}


def test_a_rung_may_be_a_shape_of_one_s_own(world_store: Store) -> None:
    mine = {"name": "mine", "family": "gpt2", "num_layers": 2, "width": 20, "num_heads": 4}
    wide = {"name": "wide", **OWN, "mlp_width": 200, "tied_embeddings": False}
    spec = parse_study(changed(rungs=[wide, "10k", mine]), where="x")
    runs = spec.runs(world_store)
    assert list(dict.fromkeys(run.rung for run in runs)) == ["wide", "10k", "mine"]
    shapes = {run.rung: run.shape for run in runs}
    sizes = (shapes["mine"].family, shapes["mine"].num_layers, shapes["mine"].width)
    assert sizes == ("gpt2", 2, 20)
    assert (shapes["wide"].family, shapes["wide"].mlp_width) == ("llama", 200)
    assert not shapes["wide"].tied_embeddings
    assert {shape.vocab_size for shape in shapes.values()} == {world_store.vocab_size}
    assert {shape.context_tokens for shape in shapes.values()} == {world_store.block_tokens}


def test_the_baseline_alone_is_trained_on_other_budgets_too(world_store: Store) -> None:
    plain = parse_study(STUDY, where="x").runs(world_store)
    runs = parse_study(changed(baseline_budgets=[0.5, 2]), where="x").runs(world_store)
    more = [run for run in runs if run.operation.budget_multiple != 1]
    assert len(runs) == len(plain) + 2 * 2 * 2  # rungs, multiples, seeds
    assert len({run_id(run) for run in runs}) == len(runs)
    assert {run_id(run) for run in plain} == {run_id(run) for run in runs if run not in more}
    assert {run.arm for run in more} == {"uniform"}
    assert {run.operation.control for run in more} == {None}
    whole = {run.rung: run.budget_flops for run in plain}
    for run in more:
        assert run.budget_flops == run.operation.budget_multiple * whole[run.rung]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rung": ["10k"]}, "rung: unknown setting; expected one of name, .*Did you mean rungs?"),
        ({"rungs": ["11k"]}, "rungs: no rung 11k; the ladder is 10k, 20k"),
        ({"rungs": ["10k", "10k"]}, "a rung is named twice"),
        ({"budget": {}}, "give exactly one of flops, tokens, tokens_per_parameter; got none"),
        ({"budget": {"flops": 1, "tokens": 2}}, "got flops, tokens"),
        ({"seeds": 0}, "give 1 to 100 seeds, or a list of them; got 0"),
        ({"seeds": [0, 0]}, "seeds: seeds are whole numbers from 0, each once; got 0, 0"),
        ({"seeds": [-1]}, "each once; got -1"),
        ({"arms": {" ": {}}}, "arms: an arm needs a name"),
        ({"name": ".."}, "name: wrong value; expected String should match pattern"),
        (
            {"arms": {"plain": {"data": {"kind": "uniform"}}}},
            "arms.plain: means the same as uniform; expected arms that differ",
        ),
        (
            {"arms": {"uniform": {"data": {"kind": "ceiling"}}}},
            "arms.uniform.data.kind: the baseline reads uniformly.*got ceiling",
        ),
        (
            {"recipe": {"data": {"kind": "ceiling"}}},
            "arms.uniform.data.kind: the baseline reads uniformly",
        ),
        (
            {"arms": {"c": {"data": {"kind": "ceiling", "sample": "budget"}}}},
            "arms.c.data.sample: an arm draws from the study's sample; expected all; got budget",
        ),
        ({"store": None}, "give either store .* or store_path"),
        ({"recipe": {"rate": {"lr": 1}}}, "^study.yaml: recipe.rate.lr: unknown setting"),
        ({"arms": {"x": {"rate": {"lr": 1}}}}, "^study.yaml: arms.x.rate.lr: unknown setting"),
        ({"rungs": [{"name": "10k", **OWN}]}, "rungs.0: the ladder has a rung 10k"),
        ({"rungs": [{"name": "a", **OWN}, {"name": "a", **OWN}]}, "a rung is named twice"),
        ({"rungs": [{"name": "../a", **OWN}]}, "rungs.0.name: wrong value"),
        ({"rungs": [{"name": "a", **OWN, "num_heads": 5}]}, "rungs.0: width must be a multiple"),
        ({"rungs": [{"name": "a", **OWN, "num_layers": 10**6}]}, "rungs.0.num_layers: wrong value"),
        (
            {"rungs": [{"name": "a", **OWN, "heads": 5}]},
            "rungs.0.heads: unknown setting.*num_heads?",
        ),
        ({"rungs": [{"name": "a"}]}, "rungs.0.num_layers: setting is missing"),
        ({"rungs": [10_000]}, "rungs.0: wrong value; expected .*got 10000"),
        ({"rungs": []}, "rungs: wrong value"),
        ({"baseline_budgets": [1]}, "baseline_budgets: give multiples other than 1, each once"),
        ({"baseline_budgets": [0.5, 0.5]}, "other than 1, each once; got 0.5, 0.5"),
        (
            {"baseline_budgets": [0]},
            "baseline_budgets.0: wrong value",
        ),
        ({"baseline_budgets": [float("inf")]}, "baseline_budgets.0: wrong value"),
        ({"baseline_budgets": [1e300]}, "baseline_budgets.0: wrong value"),
        ({"baseline_budgets": 0.5}, "baseline_budgets: wrong value; expected a list; got 0.5"),
        ({"budget": {"tokens": 1e30}}, "budget.tokens: wrong value; expected less than"),
        ({"budget": {"flops": 1e300}}, "budget.flops: wrong value; expected less than"),
        ({"batch_blocks": 10**30}, "batch_blocks: wrong value"),
        ({"micro_batch_blocks": 10**30}, "micro_batch_blocks: wrong value"),
        ({"seeds": [2**70]}, "seeds: seeds are whole numbers"),
        ({"evaluation": {"num_points": 10**12}}, "evaluation.num_points: wrong value"),
        ({"evaluation": {"num_blocks": 10**30}}, "evaluation.num_blocks: wrong value"),
        ({"evaluation": {"num_samples": 10**12}}, "evaluation.num_samples: wrong value"),
        ({"checkpoint_every_fraction": 1e-12}, "checkpoint_every_fraction: wrong value"),
        ({"optimizer": {"betas": [2, 3]}}, "optimizer.betas.0: wrong value"),
        ({"optimizer": {"betas": [0.9, float("nan")]}}, "optimizer.betas.1: wrong value"),
        ({"optimizer": {"epsilon": float("inf")}}, "optimizer.epsilon: wrong value"),
        ({"optimizer": {"clip_norm": float("inf")}}, "optimizer.clip_norm: wrong value"),
        ({"arms": {"x": None}}, "arms.x: wrong value; expected a mapping"),
        ({"name": "a/b"}, "name: wrong value; expected String should match pattern"),
        ({"arms": {"x": {"dat": {}}}}, "arms.x.*dat"),
        ({"arms": {"ceiling": {"data": {"kind": "celing"}}}}, "arms.ceiling.*celing"),
        (
            {"arms": {"c": {"data": {"kind": "ceiling"}}, "c-shuffled": {}}},
            "arms.c-shuffled: this name belongs to a control.*Rename the arm",
        ),
    ],
)
def test_a_study_that_cannot_be_meant_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse_study(changed(**changes), where="study.yaml")


def test_a_file_that_is_no_study_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"missing.yaml: no such file"):
        load_study(tmp_path / "missing.yaml")
    (tmp_path / "broken.yaml").write_text("a: [1\n")
    with pytest.raises(SpecError, match=r"broken.yaml, line 2: is not usable YAML"):
        load_study(tmp_path / "broken.yaml")
    (tmp_path / "list.yaml").write_text("- a\n")
    with pytest.raises(SpecError, match=r"list.yaml: is not a set of settings; expected a mapping"):
        load_study(tmp_path / "list.yaml")


def test_a_study_goes_to_a_file_and_back(tmp_path: Path) -> None:
    rungs = ["10k", {"name": "mine", **OWN}]
    spec = parse_study(changed(rungs=rungs, baseline_budgets=[0.5]), where="x")
    path = tmp_path / "study.yaml"
    path.write_text(spec.to_yaml(), encoding="utf-8")
    assert load_study(path) == spec


ROOT = Path(__file__).parents[1]
STUDIES = sorted([*ROOT.glob("studies/*.yaml"), ROOT / "src" / "gradatim" / "study" / "demo.yaml"])


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_every_study_in_the_repository_can_be_meant(path: Path) -> None:
    assert "uniform" in load_study(path).recipes()


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf")])
def test_minutes_between_checkpoints_are_more_than_none(minutes: float) -> None:
    with pytest.raises(SpecError, match="checkpoint_every_minutes: wrong value"):
        parse_study(changed(checkpoint_every_minutes=minutes), where="x")


def test_checkpoints_are_no_part_of_a_run_s_identity(world_store: Store) -> None:
    by_default = parse_study(STUDY, where="x").runs(world_store)
    often = parse_study(changed(checkpoint_every_minutes=0.5), where="x").runs(world_store)
    never = parse_study(changed(checkpoint_every_minutes=None), where="x").runs(world_store)
    minutes = [runs[0].operation.checkpoint_every_minutes for runs in (by_default, often, never)]
    assert minutes == [10.0, 0.5, None]
    assert [run_id(run) for run in often] == [run_id(run) for run in by_default]
