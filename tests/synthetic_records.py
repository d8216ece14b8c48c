"""Records of runs that never happened, for the tests of record and law."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gradatim.compute import Shape
from gradatim.recipe import Recipe
from gradatim.record.read import Record
from gradatim.record.spec import EvaluationSpec, RunSpec, StoreReference

WIDTHS = {"20k": 16, "50k": 32, "100k": 48, "200k": 64, "500k": 96, "1m": 128}
NUM_STEPS = 100


def run_spec(arm: str = "uniform", rung: str = "20k", seed: int = 0, **changes: Any) -> RunSpec:
    method, _, kind = arm.rpartition("-")
    kinds = {"uniform": "uniform", "odm": "bandit"}
    data: dict[str, Any] = {"kind": kinds.get(arm.partition("-")[0], "ceiling")}
    operation: dict[str, Any] = {"arm": arm}
    if method and kind in ("shuffled", "reversed", "static"):
        data["control"] = kind
        operation["control"] = {"of": method, "kind": kind}
    width = WIDTHS[rung]
    settings: dict[str, Any] = {
        "store": StoreReference(path="/stores/a", fingerprint="f00d"),
        "operation": operation,
        "rung": rung,
        "seed": seed,
        "shape": Shape(
            vocab_size=64, context_tokens=32, num_layers=2, width=width, num_heads=2, mlp_width=64
        ),
        "recipe": Recipe.model_validate({"data": data}),
        "budget_flops": 1e9 * width,
        "batch_blocks": 4,
        "evaluation": EvaluationSpec(num_points=5, num_tasks=4),
    }
    return RunSpec.model_validate(settings | changes)


def make_record(
    spec: RunSpec,
    losses: Sequence[float | None],
    *,
    slices: Mapping[str, float] | None = None,
    accuracies: Sequence[float] | None = None,
    is_finished: bool = True,
    flops: float | None = None,
    multiset_hash: str = "same",
    last: Mapping[str, Any] | None = None,
    fed: Mapping[str, Mapping[str, float]] | None = None,
) -> Record:
    """A record whose held-out bits per byte are `losses` at equal distances of compute.

    Args:
        slices: offsets added to the loss under other names, such as `band/1`.
        accuracies: of task `held_out/b` at every point, chance 0.25.
        flops: charged in all; the budget by default.
        last: more of the last evaluation, such as its blocks.
        fed: shares of slices in the whole run and in its last quarter.
    """
    flops = spec.budget_flops if flops is None else flops
    events: list[dict[str, Any]] = []
    for index, loss in enumerate(losses, start=1):
        point = {"progress": index / len(losses), "flops": flops * index / len(losses)}
        step = NUM_STEPS * index // len(losses)
        names = {"all": 0.0} | dict(slices or {})
        values = {name: None if loss is None else loss + shift for name, shift in names.items()}
        tasks = {}
        if accuracies is not None:
            accuracy = accuracies[index - 1]
            task = {"accuracy": accuracy, "probability": accuracy / 2, "chance": 0.25}
            tasks = {"held_out/b": task | {"num_items": 4}}
        events.append(
            {"event": "evaluate", "step": step, "tokens": 10 * step, **point}
            | {"bits_per_byte": values, "tasks": tasks}
        )
    events[-1] |= dict(last or {})
    if is_finished:
        events.append(
            {"event": "finish", "step": NUM_STEPS, "progress": 1.0, "tokens": 10 * NUM_STEPS}
            | {"flops": flops, "multiset_hash": multiset_hash, "ledger": {"train": flops}}
            | {"fed": fed}
        )
    folder = Path(f"{spec.arm}-{spec.rung}-{spec.seed}")
    return Record(folder, spec, (), 0.0, tuple(events))


def decaying(final: float) -> list[float]:
    """A plausible learning curve of five points that ends at `final`."""
    return [final + drop for drop in (1.2, 0.5, 0.25, 0.1, 0.0)]


def make_study(
    effects: Mapping[str, float | Callable[[str, int], float]],
    *,
    rungs: Sequence[str] = ("20k", "50k", "100k"),
    num_seeds: int = 3,
    noise: Sequence[float] = (0.0, 0.002, -0.002),
    jitter: float = 0.0005,
) -> list[Record]:
    """Runs of `uniform` and of every named arm.

    Seed noise is shared by the arms of a seed (that is why pairing helps), but for a jitter that
    alternates by arm and seed.

    Args:
        effects: final loss minus that of uniform, a number or a function of rung and seed.
    """
    records = []
    for place, (arm, effect) in enumerate({"uniform": 0.0, **effects}.items()):
        for depth, rung in enumerate(rungs):
            for seed in range(num_seeds):
                shift = effect(rung, seed) if callable(effect) else effect
                wobble = jitter * ((seed + place * depth) % 3 - 1) if place else 0.0
                final = 2.0 - 0.2 * depth + noise[seed % len(noise)] + shift + wobble
                records.append(make_record(run_spec(arm, rung, seed), decaying(final)))
    return records
