"""How often the comparison is right, on studies whose truth is known.

    python benchmarks/verdicts.py                       # the table, 2,000 studies a row
    python benchmarks/verdicts.py --studies 200 --only power
    python benchmarks/verdicts.py --real out/ratio      # the compute ratio on real runs, minutes

Every row invents studies as records, with a known effect and known noise, and lets `compare` judge
them: the same code that judges real ones.
"""

from __future__ import annotations

import argparse
import functools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from gradatim import verbs
from gradatim.compute import rung_shape
from gradatim.law.compare import Comparison, compare
from gradatim.law.sentences import CLAIMS
from gradatim.recipe import Recipe
from gradatim.record.read import Record, read_records
from gradatim.record.spec import EvaluationSpec, Operation, RunSpec, StoreReference

RUNGS = ("20k", "50k", "100k", "200k", "500k")
METHOD, SHUFFLED, REVERSED, OTHER = "method", "method-shuffled", "method-reversed", "other"
WITH_CONTROLS = {METHOD: 0.0, SHUFFLED: 0.0, REVERSED: 0.0}
STEPS = 100


@dataclass(frozen=True)
class World:
    """A kind of study and its truth; losses in bits per byte.

    Attributes:
        effects: true difference to `uniform` by arm, the same at every rung.
        sds: standard deviation of a final loss over seeds, by rung.
        correlation: between arms of one seed.
        shared_seeds: share of the arms' own noise that is the same at every rung of a seed.
        wilder: by arm, how many times noisier its own part is.
        multiples: budgets at which the baseline is run beside.
        exponent: of the baseline's loss over compute, 1 + compute ** -exponent.
        dip: what arms lie lower by at three quarters of the run.
        num_blocks: held-out blocks; 0 keeps none.
        text_sd: over blocks, of the effect.
    """

    effects: Mapping[str, float] = field(default_factory=lambda: WITH_CONTROLS)
    num_rungs: int = 3
    num_seeds: int = 3
    sds: Sequence[float] = (0.01,)
    correlation: float = 0.5
    shared_seeds: float = 0.0
    wilder: Mapping[str, float] = field(default_factory=dict)
    multiples: Sequence[float] = ()
    exponent: float = 0.3
    dip: float = 0.0
    num_blocks: int = 0
    text_sd: float = 0.0

    @property
    def rungs(self) -> tuple[str, ...]:
        return RUNGS[: self.num_rungs]

    def sd(self, rung: str) -> float:
        return self.sds[self.rungs.index(rung) % len(self.sds)]


@functools.cache
def spec_of(arm: str, rung: str, seed: int, multiple: float = 1.0) -> RunSpec:
    """A run's specification: methods are ceilings, named ones of different ramps."""
    data: dict[str, Any] = {"kind": "uniform"}
    control = None
    if arm != "uniform":
        of, _, kind = arm.partition("-")
        data = {"kind": "ceiling", "ramp": 0.4 if of == METHOD else 0.2}
        if kind:
            data["control"], control = kind, {"of": of, "kind": kind}
    return RunSpec(
        store=StoreReference(path="store", fingerprint="f00d"),
        rung=rung,
        seed=seed,
        shape=rung_shape(rung, vocab_size=1024, context_tokens=128),
        recipe=Recipe.model_validate({"data": data}),
        budget_flops=1e12 * multiple,
        batch_blocks=4,
        evaluation=EvaluationSpec(num_points=4),
        operation=Operation.model_validate(
            {"arm": arm, "control": control, "budget_multiple": multiple}
        ),
    )


def record_of(spec: RunSpec, losses: Sequence[float], blocks: dict[str, Any] | None) -> Record:
    """A finished run with these losses at equal distances."""
    events: list[dict[str, Any]] = []
    for index, loss in enumerate(losses, start=1):
        share = index / len(losses)
        events.append(
            {"event": "evaluate", "step": int(STEPS * share), "progress": share, "tokens": 1}
            | {"flops": spec.budget_flops * share, "bits_per_byte": {"all": loss}}
        )
    if blocks:
        events[-1]["blocks"] = blocks
    finish = {"event": "finish", "step": STEPS, "progress": 1.0, "tokens": 1}
    events.append(finish | {"flops": spec.budget_flops, "multiset_hash": "same"})
    return Record(Path(spec.rung), spec, (), 0.0, tuple(events))


def study_of(world: World, random: np.random.Generator) -> list[Record]:
    """One study of this world."""
    arms = {"uniform": 0.0, **world.effects}
    common = {
        (arm, seed): random.normal() for arm in arms for seed in range(world.num_seeds)
    }  # what an arm's seed does at every rung
    text = {arm: random.normal(0, world.text_sd, world.num_blocks) for arm in arms}
    records = []
    for rung in world.rungs:
        for seed in range(world.num_seeds):
            of_seed = math.sqrt(world.correlation) * random.normal()
            for arm, effect in arms.items():
                own = math.sqrt(1 - world.shared_seeds) * random.normal()
                own += math.sqrt(world.shared_seeds) * common[arm, seed]
                own *= math.sqrt(1 - world.correlation) * world.wilder.get(arm, 1.0)
                final = 2.0 + effect + world.sd(rung) * (of_seed + own)
                blocks = None
                if world.num_blocks:
                    by_block = final + text[arm]
                    final = float(by_block.mean())
                    blocks = _blocks(by_block)
                dip = world.dip if arm != "uniform" else 0.0
                losses = (final + 0.5, final + 0.2, final + 0.1 - dip, final)
                records.append(record_of(spec_of(arm, rung, seed), losses, blocks))
            for multiple in world.multiples:
                noise = world.sd(rung) * (
                    of_seed + math.sqrt(1 - world.correlation) * random.normal()
                )
                loss = baseline_loss(world, multiple) + noise
                spec = spec_of("uniform", rung, seed, multiple)
                records.append(record_of(spec, (loss + 0.5, loss), None))
    return records


def baseline_loss(world: World, multiple: float) -> float:
    """The law of the baseline: 1 + multiple ** -exponent."""
    return 1.0 + float(multiple**-world.exponent)


def _blocks(bits_per_byte: np.ndarray) -> dict[str, Any]:
    """Blocks of 100 bytes, all of one stratum."""
    rows = list(range(len(bits_per_byte)))
    return {
        "nats": (100 * math.log(2) * bits_per_byte).tolist(),
        "bytes": [100] * len(rows),
        "strata": [0] * len(rows),
        "slices": {"all": rows},
    }


@dataclass(frozen=True)
class Row:
    """One line of the table: what is counted over studies of a world, and what it should be."""

    group: str
    name: str
    world: World
    count: Callable[[Comparison, World], float | None]
    wanted: tuple[float, float]
    summary: Callable[[Sequence[float]], float] = lambda values: float(np.mean(values))


def covers(comparison: Comparison, world: World) -> float | None:
    """Whether the interval of the method holds its true effect."""
    found = comparison.difference(METHOD, "uniform")
    assert found is not None
    assert found.overall is not None
    if found.overall.low is None or found.overall.high is None:
        return None
    return float(found.overall.low <= world.effects[METHOD] <= found.overall.high)


def is_false(comparison: Comparison, world: World) -> float:
    """Whether any claim, of the answer or the findings, is against the truth."""
    said = {sentence.key for sentence in (*comparison.answer, *comparison.findings)} & CLAIMS
    wrong = False
    for method in comparison.methods():
        found = comparison.difference(method, "uniform")
        assert found is not None
        wrong |= _claims_wrongly(found.verdict, world.effects[method])
        for control in comparison.controls(method):
            gap = comparison.difference(method, control.name)
            assert gap is not None
            effect = world.effects[method] - world.effects[control.name]
            wrong |= _claims_wrongly(gap.verdict, effect)
    assert said or not wrong or any(world.effects.values()), "a verdict without its sentence"
    return float(wrong)


def _claims_wrongly(verdict: str, effect: float) -> bool:
    if verdict not in ("better", "worse"):
        return False
    return effect == 0 or (verdict == "better") != (effect < 0)


def is_seen(comparison: Comparison, world: World) -> float:
    """Whether the method is called what it is."""
    found = comparison.difference(METHOD, "uniform")
    assert found is not None
    truth = "better" if world.effects[METHOD] < 0 else "worse"
    return float(found.verdict == truth)


def ratio_covers(comparison: Comparison, world: World) -> float | None:
    """Whether the interval of the compute ratio holds the true one."""
    ratio = comparison.ratio(METHOD, "uniform")
    assert ratio is not None
    truth = true_ratio(world)
    return float((ratio.low or 0.0) <= truth <= (ratio.high or math.inf))


def ratio_estimate(comparison: Comparison, world: World) -> float | None:
    ratio = comparison.ratio(METHOD, "uniform")
    assert ratio is not None
    return ratio.ratio


def true_ratio(world: World) -> float:
    """The compute of the arm over that of the baseline for the same loss."""
    return float((1 + world.effects[METHOD]) ** (1 / world.exponent))


def overstated(comparison: Comparison, world: World) -> float | None:
    """Estimate over truth, of effects called only just resolved."""
    if not any(sentence.key == "barely" for sentence in comparison.answer):
        return None
    found = comparison.difference(METHOD, "uniform")
    assert found is not None
    assert found.overall is not None
    return found.overall.mean / world.effects[METHOD]


def seen_over_truth(comparison: Comparison, world: World) -> float | None:
    return comparison.effect_seen


def effect_of_ratio(ratio: float, exponent: float) -> float:
    """The difference in loss of an arm that needs this share of the compute."""
    return float(ratio**exponent) - 1


def effects(method: float, shuffled: float = 0.0, reversed_: float = 0.0) -> dict[str, float]:
    return {METHOD: method, SHUFFLED: shuffled, REVERSED: reversed_}


COVERED, RARELY = (0.93, 0.97), (0.0, 0.05)


def rows() -> Iterator[Row]:
    """The table."""
    alike = World()
    for seeds in (2, 3, 5):
        yield Row(
            "coverage",
            f"alike noise, {seeds} seeds × 3 rungs",
            replace(alike, num_seeds=seeds),
            covers,
            COVERED,
        )
    for sds, name in (((4, 1, 1), "4:1:1"), ((10, 2, 1), "10:2:1")):
        for seeds in (2, 3, 5):
            world = replace(alike, num_seeds=seeds, sds=[0.004 * sd for sd in sds])
            yield Row("coverage", f"noise {name}, {seeds} seeds × 3 rungs", world, covers, COVERED)
    two_arms = World(effects={METHOD: 0.0})
    yield Row("coverage", "two arms alone, 3 seeds × 3 rungs", two_arms, covers, COVERED)
    yield Row("coverage", "one rung, 3 seeds", World(num_rungs=1), covers, COVERED)
    for blocks in (48, 200):
        world = World(num_blocks=blocks, text_sd=0.03)
        yield Row(
            "coverage", f"other held-out text too, {blocks} blocks", world, covers, (0.93, 0.98)
        )
    for rungs in (3, 5):
        world = World(num_rungs=rungs, shared_seeds=0.5)
        yield Row(
            "limits",
            f"were seeds shared over {rungs} rungs (ρ 0.5), which streams forbid",
            world,
            covers,
            COVERED,
        )
    for times in (2.0, 3.0):
        yield Row(
            "limits",
            f"the method's own noise {times:g} times the others'",
            World(wilder={METHOD: times}),
            covers,
            COVERED,
        )
    for seeds in (3, 4, 5):
        world = World(num_seeds=seeds, sds=(0.016, 0.004, 0.004))
        yield Row(
            "false claims", f"nothing true, noise 4:1:1, {seeds} seeds", world, is_false, RARELY
        )
        true = replace(world, effects=effects(-0.02, -0.02, -0.02))
        yield Row(
            "false claims",
            f"an effect, but not of the order, {seeds} seeds",
            true,
            is_false,
            RARELY,
        )
        part = replace(world, effects=effects(-0.012, 0.0, -0.012))
        yield Row(
            "false claims",
            f"a weak effect, one control alike, {seeds} seeds",
            part,
            is_false,
            RARELY,
        )
    several = World(
        effects={**WITH_CONTROLS, OTHER: 0.0, "other-shuffled": 0.0}, sds=(0.016, 0.004, 0.004)
    )
    yield Row("false claims", "nothing true, two methods", several, is_false, RARELY)
    one_true = replace(
        several, effects={**effects(-0.03, -0.03, 0.0), OTHER: 0.0, "other-shuffled": 0.0}
    )
    yield Row("false claims", "one of two methods true", one_true, is_false, RARELY)
    yield Row(
        "power",
        "effect 1 sd, 2 seeds × 3 rungs",
        World(effects=effects(-0.01), num_seeds=2),
        is_seen,
        (0.5, 1),
    )
    yield Row(
        "power",
        "effect 2 sd, 3 seeds × 1 rung",
        World(effects=effects(-0.02), num_rungs=1),
        is_seen,
        (0.8, 1),
    )
    yield Row(
        "power", "effect 1 sd, 3 seeds × 3 rungs", World(effects=effects(-0.01)), is_seen, (0.7, 1)
    )
    yield Row(
        "power",
        "at the effect told as seen in 4 of 5",
        World(effects=effects(-0.01005)),
        is_seen,
        (0.75, 0.85),
    )
    for exponent in (0.1, 0.3):
        for sd in (0.002, 0.01):
            for ratio in (0.8, 1.0, 1.25):
                world = World(
                    effects=effects(effect_of_ratio(ratio, exponent)),
                    sds=(sd,),
                    multiples=(0.5, 2.0),
                    exponent=exponent,
                )
                name = f"ratio {ratio:g}, exponent {exponent:g}, sd {sd:g}"
                yield Row("compute ratio", f"{name}: covered", world, ratio_covers, COVERED)
                yield Row(
                    "compute ratio",
                    f"{name}: median",
                    world,
                    ratio_estimate,
                    (0.95 * ratio, 1.05 * ratio),
                    _median,
                )
    dipped = World(dip=0.01, sds=(0.002,), multiples=(0.5, 2.0))
    yield Row(
        "compute ratio",
        "equal at the end, 0.01 lower at three quarters: median",
        dipped,
        ratio_estimate,
        (0.99, 1.01),
        _median,
    )
    for effect in (0.4, 0.6, 0.8):
        world = World(effects=effects(-0.01 * effect), num_rungs=2)
        yield Row(
            "exaggeration",
            f"effect {effect:g} sd: only just resolved, over the truth",
            world,
            overstated,
            (1.3, 2.4),
        )


def _median(values: Sequence[float]) -> float:
    return float(np.median(values))


def measure(row: Row, num_studies: int, seed: int = 0) -> tuple[float, int]:
    """The row's figure, and over how many studies."""
    random = np.random.default_rng(seed)
    found = [row.count(compare(study_of(row.world, random)), row.world) for _ in range(num_studies)]
    known = [value for value in found if value is not None]
    return (row.summary(known) if known else math.nan), len(known)


REAL_RATIO = 0.8
REAL = """
name: ratio
store:
  spectrum: {num_bytes: 3_000_000, num_tasks: 0}
  tokenizer: {vocab_size: 1024}
  block_tokens: 224
rungs: [20k]
arms: {uniform: {}}
seeds: 4
budget: {tokens: 800_000}
baseline_budgets: [0.5, 1.25, 2]
batch_blocks: 4
recipe: {rate: {kind: wsd, peak: 0.006, warmup_fraction: 0.05, decay_fraction: 0.25}}
evaluation: {num_points: 1, num_blocks: 96, num_samples: 0}
"""


def real_ratio(folder: Path) -> None:
    """Real runs of the baseline with 1.25 of the budget stand for an arm that needs 0.8 of it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ratio.yaml").write_text(REAL, encoding="utf-8")
    verbs.study(folder / "ratio.yaml", folder / "study", console=Console(stderr=True))
    records = []
    for record in read_records(folder / "study"):
        seed, multiple = record.spec.seed, record.spec.operation.budget_multiple
        assert record.finish is not None
        loss = record.finish["final_bits_per_byte"]
        is_arm = multiple == 1 / REAL_RATIO
        spec = spec_of(METHOD, "20k", seed) if is_arm else spec_of("uniform", "20k", seed, multiple)
        records.append(record_of(spec, (loss + 0.1, loss), None))
    comparison = compare(records)
    ratio = comparison.ratio(METHOD, "uniform")
    assert ratio is not None
    for sentence in comparison.answer:
        print(sentence.text)
    print(f"ratio {ratio.ratio:.3f}, 95 % interval {ratio.low} to {ratio.high}, truth {REAL_RATIO}")


def print_table(
    rows: Iterable[Any],
    measure: Callable[[Any, int], tuple[float, int]],
    only: str | None,
    num_studies: int,
) -> None:
    """Measure and print the rows, all or those of one group, as Markdown; bold is not as wanted."""
    print("| | measured | wanted | studies |\n| --- | --- | --- | --- |")
    started = time.monotonic()
    group = ""
    for row in rows:
        if only not in (None, row.group):
            continue
        if row.group != group:
            group = row.group
            print(f"| **{group}** | | | |")
        value, count = measure(row, num_studies)
        low, high = row.wanted
        text = f"{value:.3f}" if low - 5e-4 <= value <= high + 5e-4 else f"**{value:.3f}**"
        print(f"| {row.name} | {text} | {low:.3g} to {high:.3g} | {count:,} |", flush=True)
    print(f"\n{time.monotonic() - started:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--only", help="rows of this group alone")
    parser.add_argument("--real", type=Path, help="train here, and read the ratio off real runs")
    options = parser.parse_args()
    if options.real:
        real_ratio(options.real)
        return
    print_table(rows(), measure, options.only, options.studies)


if __name__ == "__main__":
    main()
