"""A study that never trained: records of invented but plausible curves, written by `RunWriter`."""

from __future__ import annotations

import itertools
import math
import zlib
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from gradatim.compute import num_matmul_parameters, rung_shape, training_flops
from gradatim.record.read import Record, read_records
from gradatim.record.spec import RunSpec, run_id, write_spec
from gradatim.record.write import RunWriter, environment

RUNGS = ("20k", "50k", "200k")
LEVELS = "abcdef"
NUM_POINTS = 16
NUM_STEPS = 400
BATCH_BLOCKS = 16
BLOCK_TOKENS = 128
STAGES = [
    {"until": 0.25, "weights": {"a": 5, "b": 4, "c": 3, "d": 2, "e": 1, "f": 1}},
    {"until": 0.5, "weights": {"a": 3, "b": 4, "c": 4, "d": 3, "e": 2, "f": 1}},
    {"until": 0.75, "weights": {"a": 1, "b": 2, "c": 3, "d": 4, "e": 4, "f": 3}},
    {"until": 1.0, "weights": {"a": 1, "b": 1, "c": 2, "d": 3, "e": 4, "f": 5}},
]
STAGED = {"kind": "stages", "by": "level", "stages": STAGES, "sample": "budget"}
ARMS: dict[str, dict[str, Any]] = {
    "uniform": {"kind": "uniform", "sample": "budget"},
    "staged": STAGED,
    "staged-shuffled": STAGED | {"control": "shuffled"},
    "staged-reversed": STAGED | {"control": "reversed"},
}
EFFECTS = {"uniform": 0.0, "staged": -0.016, "staged-shuffled": -0.002, "staged-reversed": 0.021}
TEXTS = (
    ("Anna put the red cup", " on the table. Then Tom took the cup to the kitchen."),
    ("Where is the key? The key", " is in the box. The box is in the garden, so the key"),
)


def write_study(
    folder: Path,
    *,
    arms: dict[str, dict[str, Any]] = ARMS,
    rungs: tuple[str, ...] = RUNGS,
    num_seeds: int = 3,
    effects: dict[str, float] = EFFECTS,
    texts: tuple[tuple[str, str], ...] = TEXTS,
    sources: tuple[str, ...] = (),
    noted: tuple[str, ...] = ("evaluation",),
    multiples: tuple[float, ...] = (),
) -> list[Record]:
    """Write and read back rungs x arms x seeds; text, arm names and sources may be anything.

    `uniform` is written at `multiples` of the budget too.
    """
    with mock.patch("os.fsync"):  # nothing here is worth waiting for a disk
        for rung, (arm, data), seed in itertools.product(rungs, arms.items(), range(num_seeds)):
            spec = run_spec(arm, rung, seed, data)
            _write_run(folder / run_id(spec), spec, effects.get(arm, 0.0), texts, sources, noted)
            for multiple in multiples if arm == "uniform" else ():
                other = run_spec(arm, rung, seed, data, multiple)
                _write_run(folder / run_id(other), other, 0.0, texts, sources, noted)
    return read_records(folder)


def run_spec(
    arm: str, rung: str, seed: int, data: dict[str, Any], multiple: float = 1.0
) -> RunSpec:
    """One run's specification; every rung spends the same number of tokens."""
    shape = rung_shape(rung, vocab_size=1024, context_tokens=BLOCK_TOKENS)
    budget_flops = training_flops(shape, NUM_STEPS * BATCH_BLOCKS * BLOCK_TOKENS) * 1.0004
    return RunSpec.model_validate(
        {
            "store": {"path": "store", "fingerprint": "9f86d081884c7d65"},
            "operation": {
                "arm": arm,
                "control": _control(arm, data),
                "budget_multiple": multiple,
            },
            "rung": rung,
            "seed": seed,
            "shape": shape,
            "recipe": {"data": data},
            "budget_flops": budget_flops * multiple,
            "batch_blocks": BATCH_BLOCKS,
            "evaluation": {"num_points": NUM_POINTS, "num_tasks": 25},
        }
    )


def _control(arm: str, data: dict[str, Any]) -> dict[str, str] | None:
    kind = data.get("control")
    return {"of": arm.removesuffix(f"-{kind}"), "kind": kind} if kind else None


def feeding_of(
    arms: dict[str, dict[str, Any]], rungs: tuple[str, ...] = RUNGS
) -> list[dict[str, Any]]:
    """Shares of levels over progress, as the stages say, with some unevenness."""
    rows = []
    random = np.random.default_rng(0)
    for arm, data in arms.items():
        stages = data.get("stages") or [{"until": 1.0, "weights": dict.fromkeys(LEVELS, 1)}]
        if data.get("control") == "reversed":
            stages = [
                {"until": stage["until"], "weights": mirrored["weights"]}
                for stage, mirrored in zip(stages, reversed(stages), strict=True)
            ]
        if data.get("control") == "shuffled":
            stages = [{"until": 1.0, "weights": dict.fromkeys(LEVELS, 1)}]
        for rung in rungs:
            for place in range(40):
                progress = (place + 0.5) / 40
                weights = next(s["weights"] for s in stages if progress <= s["until"])
                counts = np.array([weights.get(level, 0) for level in LEVELS], dtype=float)
                counts *= random.uniform(0.9, 1.1, len(LEVELS))
                for level, share in zip(LEVELS, counts / counts.sum(), strict=True):
                    rows.append((arm, rung, progress, f"level {level}", float(share)))
    names = ["arm", "rung", "progress", "label", "share"]
    return [dict(zip(names, row, strict=True)) for row in rows]


def _write_run(
    folder: Path,
    spec: RunSpec,
    effect: float,
    texts: tuple[tuple[str, str], ...],
    sources: tuple[str, ...],
    noted: tuple[str, ...],
) -> None:
    write_spec(folder, spec)
    random = np.random.default_rng([spec.seed, RUNGS.index(spec.rung)])
    own = np.random.default_rng([spec.seed, RUNGS.index(spec.rung), zlib.crc32(spec.arm.encode())])
    noise = random.normal(0, 0.004) + own.normal(0, 0.003)
    flops_per_step = spec.budget_flops / 1.0004 / NUM_STEPS
    size = num_matmul_parameters(spec.shape)
    clock = iter(range(10))
    with RunWriter(
        folder,
        environment=environment(),
        clock=lambda: 17.0 * next(clock) * math.sqrt(size / 40_000),
    ) as writer:
        start = {"event": "start", "step": 0, "progress": 0.0, "num_steps": NUM_STEPS}
        writer.append(start | {"plan": _plan(spec), "num_parameters": size})
        for point in range(NUM_POINTS + 1):
            step = round(NUM_STEPS * point / NUM_POINTS)
            clock_now = {
                "step": step,
                "progress": step * flops_per_step / spec.budget_flops,
                "tokens": step * BATCH_BLOCKS * BLOCK_TOKENS,
                "flops": step * flops_per_step,
            }
            multiple = spec.operation.budget_multiple
            bits = _bits(size, step / NUM_STEPS, effect, multiple) + noise
            scores = {"event": "evaluate", "bits_per_byte": _slices(bits, effect, point, sources)}
            if point in (8, NUM_POINTS):
                scores["tasks"] = _tasks(bits, random)
            if point == NUM_POINTS:
                scores["blocks"] = _blocks(scores["bits_per_byte"])
            writer.append(clock_now | scores)
        ids = np.arange(NUM_STEPS * BATCH_BLOCKS, dtype=np.uint32).reshape(NUM_STEPS, -1)
        for row in ids:
            writer.append_blocks(row, np.full(BATCH_BLOCKS, 2.0, dtype=np.float32))
        for prompt, text in texts:
            writer.append(clock_now | {"event": "sample", "prompt": prompt, "text": text})
        writer.append(clock_now | _finish(spec, clock_now["flops"], bits, noted))
        writer.append_timing(step=NUM_STEPS, tokens=int(clock_now["tokens"]))


def _bits(size: int, share: float, effect: float, multiple: float) -> float:
    """Bits per byte: a power law in size and progress, then an anneal in the last quarter."""
    tokens = 4e4 + 8e5 * share * multiple
    anneal = 0.03 * max(0.0, (share - 0.75) / 0.25)
    late = effect * (1.6 * share - 0.6) if share else 0.0
    return 0.9 + 9.0 * size**-0.28 + 260.0 * tokens**-0.56 - anneal + late


def _slices(bits: float, effect: float, point: int, sources: tuple[str, ...]) -> dict[str, float]:
    slope = effect * min(1.0, point / NUM_POINTS)
    found = {"all": bits}
    found |= {f"band/{n}": bits * (0.8 + 0.08 * n) + slope * (n - 3) * 0.5 for n in range(1, 6)}
    found |= {
        f"level/{level}": bits * (0.7 + 0.1 * place) + slope * (place - 2.5) * 0.4
        for place, level in enumerate(LEVELS)
    }
    found |= {f"source/{name}": bits + 0.1 * place for place, name in enumerate(sources)}
    return found | {"split/out_of_distribution": bits + 0.21}


def _blocks(slices: dict[str, float]) -> dict[str, Any]:
    """Eight blocks of 500 bytes a level and elsewhere, that sum up to the slices."""
    names = [f"level/{level}" for level in LEVELS]
    shift = slices["all"] - sum(slices[name] for name in names) / len(names)
    each = [slices[name] + shift for name in names for _ in range(8)]
    each += [slices["split/out_of_distribution"]] * 8
    rows = list(range(len(each)))
    levels = {name: rows[8 * place : 8 * place + 8] for place, name in enumerate(names)}
    bands = {f"band/{n}": rows[n - 1 : 48 : 5] for n in range(1, 6)}
    sources = {name: rows[:48] for name in slices if name.startswith("source/")}
    return {
        "nats": [500 * math.log(2) * bits for bits in each],
        "bytes": [500] * len(each),
        "strata": [row // 8 for row in rows],
        "slices": {
            "all": rows[:48],
            **bands,
            **levels,
            **sources,
            "split/out_of_distribution": rows[48:],
        },
    }


def _tasks(bits: float, random: np.random.Generator) -> dict[str, dict[str, float]]:
    found = {}
    for split in ("held_out", "out_of_distribution"):
        for place, level in enumerate("bdef"):
            chance = (0.5, 0.25, 0.25, 0.2)[place]
            skill = max(0.0, (2.4 - bits) * (1.2 - 0.2 * place)) * (0.6 if "out" in split else 1)
            right = min(0.99, chance + (1 - chance) * skill * 0.7 + random.normal(0, 0.02))
            found[f"{split}/{level}"] = {
                "accuracy": right,
                "probability": chance + (right - chance) * 0.8,
                "chance": chance,
                "num_items": 25.0,
            }
    return found


def _plan(spec: RunSpec) -> dict[str, Any]:
    data = spec.recipe.data.model_dump(mode="json")
    if data["kind"] == "uniform":
        extra: dict[str, Any] = {"epochs": 1.0}
    else:
        weights = [
            {
                name: value / sum(stage["weights"].values())
                for name, value in stage["weights"].items()
            }
            for stage in data["stages"]
        ]
        extra = {
            "by": "level",
            "control": data["control"],
            "stages": [
                {"until": stage["until"], "asked": shares, "weights": shares}
                for stage, shares in zip(data["stages"], weights, strict=True)
            ],
        }
    sentence = f"{data['kind']} as `{spec.arm}` draws it"
    about = {"kind": data["kind"], "sample": data["sample"], "sentence": sentence}
    return about | {"num_blocks": 6400} | extra


def _finish(spec: RunSpec, flops: float, bits: float, noted: tuple[str, ...]) -> dict[str, Any]:
    return {
        "event": "finish",
        "ledger": {"train": flops},
        "noted": dict.fromkeys(noted, 0.07 * flops),
        "order_hash": f"{zlib.crc32(f'{spec.arm} {spec.seed}'.encode()):016x}",
        "multiset_hash": f"{spec.seed + 0x5EED:016x}",
        "matches_plan": True,
        "fed": _fed(spec),
        "consumed": {"when_full": None, "at_end": {str(n): 1.0 - 0.01 * n for n in range(1, 6)}},
        "final_bits_per_byte": bits,
    }


def _fed(spec: RunSpec) -> dict[str, dict[str, float]]:
    """The levels as the stages have them, whole and in the last quarter."""
    stages = spec.recipe.data.model_dump(mode="json").get("stages") or [{"weights": {}}]
    if stages[0].get("weights") and spec.arm.endswith("reversed"):
        stages = stages[::-1]
    last = stages[-1]["weights"]
    total = sum(last.values()) or 1
    return {
        "whole": {f"level/{level}": 1 / len(LEVELS) for level in LEVELS},
        "last_quarter": {
            f"level/{level}": (last.get(level, 0) / total) if last else 1 / len(LEVELS)
            for level in LEVELS
        },
    }
