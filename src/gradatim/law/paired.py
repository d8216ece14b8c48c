"""Differences of arms, paired by seed, each by the one machinery of intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gradatim.law.claims import verdict
from gradatim.law.comparison import (
    HIGHER_IS_BETTER,
    ComputeRatio,
    Difference,
    Fed,
    FinalScore,
    Noise,
    RungDifference,
    RungRatio,
)
from gradatim.law.interval import (
    VERY_WILD,
    WILD,
    BySeed,
    Estimate,
    Variance,
    estimate,
    residual_variance,
    weighted,
    wildness,
)
from gradatim.law.ratio import RungLosses, ratio_of
from gradatim.law.results import BALANCED, Measured, Place, Result, Run
from gradatim.law.text import Pair, text_variance


@dataclass(frozen=True)
class PairedRuns:
    """The finished runs, and the one machinery that every comparison of them uses."""

    results: Mapping[Run, Result]
    at_other_budgets: Mapping[Place, Result]
    rungs: Sequence[str]
    baseline: str
    _known: dict[Measured, tuple[dict[str, Variance], set[str]]] = field(default_factory=dict)

    @property
    def measured(self) -> list[Measured]:
        """Everything any run measured, in the order of first appearance."""
        return list(dict.fromkeys(m for result in self.results.values() for m in result.finals))

    def _values(self, arm: str, rung: str, measured: Measured) -> dict[int, float]:
        """Final values by seed."""
        return {
            seed: result.finals[measured]
            for (its_arm, its_rung, seed), result in self.results.items()
            if (its_arm, its_rung) == (arm, rung) and measured in result.finals
        }

    def _at_multiples(self, rung: str, measured: Measured) -> dict[float, dict[int, float]]:
        """Final values of the baseline at other budgets, by multiple and seed."""
        found: dict[float, dict[int, float]] = {}
        for (multiple, its_rung, seed), result in self.at_other_budgets.items():
            if its_rung == rung and measured in result.finals:
                found.setdefault(multiple, {})[seed] = result.finals[measured]
        return found

    def _scatter(self, measured: Measured) -> tuple[dict[str, Variance], set[str]]:
        """Variance of a run by rung, of arms that are alike, and which arms are wilder."""
        if measured not in self._known:
            arms = list(dict.fromkeys(arm for arm, _, _ in self.results))
            tables: list[list[BySeed]] = [
                [self._values(arm, rung, measured) for arm in arms] for rung in self.rungs
            ]
            chances = [wildness(place, tables) for place in range(len(tables[0]))]
            calm = [place for place, chance in enumerate(chances) if chance >= VERY_WILD]
            if len(calm) < 2:
                calm = list(range(len(chances)))
            found = [residual_variance([row[place] for place in calm]) for row in tables]
            wild = {arm for arm, chance in zip(arms, chances, strict=True) if chance < WILD}
            self._known[measured] = dict(zip(self.rungs, found, strict=True)), wild
        return self._known[measured]

    def _variances_of(self, arm: str, reference: str, measured: Measured) -> dict[str, Variance]:
        """Variance of a run by rung, as it counts for a difference of these two arms."""
        variances, wild = self._scatter(measured)
        if not wild & {arm, reference}:
            return variances
        return {
            rung: residual_variance([self._values(a, rung, measured) for a in (arm, reference)])
            for rung in self.rungs
        }

    def wild(self, measured: Measured) -> tuple[str, ...]:
        """Arms that are noisier than the others."""
        known = dict.fromkeys(arm for arm, _, _ in self.results)
        return tuple(arm for arm in known if arm in self._scatter(measured)[1])

    def _chance(self, measured: Measured) -> float | None:
        chances = (result.chances.get(measured) for result in self.results.values())
        return next((chance for chance in chances if chance is not None), None)

    def finals(self) -> Iterator[FinalScore]:
        for measured in self.measured:
            chance = self._chance(measured)
            for arm, rung in dict.fromkeys(run[:2] for run in self.results):
                values = self._values(arm, rung, measured)
                if values:
                    yield FinalScore(
                        arm=arm,
                        rung=rung,
                        measure=measured[0],
                        name=measured[1],
                        chance=chance,
                        seeds=tuple(values),
                        values=tuple(values.values()),
                        mean=math.fsum(values.values()) / len(values),
                    )

    def noise(self, measured: Measured) -> Iterator[Noise]:
        for rung, variance in self._scatter(measured)[0].items():
            is_known = variance.degrees_of_freedom > 0
            yield Noise(
                rung=rung,
                sd=math.sqrt(variance.value) if is_known else None,
                degrees_of_freedom=variance.degrees_of_freedom,
            )

    def fed(self) -> Iterator[Fed]:
        """Shares of slices over training, mean over the runs of an arm that noted them."""
        for arm in dict.fromkeys(arm for arm, _, _ in self.results):
            runs = [r.fed for (its, _, _), r in self.results.items() if its == arm and r.fed]
            for name in sorted({name for run in runs for name in run["whole"]}):
                whole, last = (
                    math.fsum(run[when].get(name, 0.0) for run in runs) / len(runs)
                    for when in ("whole", "last_quarter")
                )
                yield Fed(arm=arm, name=name, whole=whole, last_quarter=last)

    def difference(self, arm: str, reference: str, measured: Measured) -> Difference:
        by_rung: dict[str, dict[int, float]] = {}
        for rung in self.rungs:
            mine = self._values(arm, rung, measured)
            theirs = self._values(reference, rung, measured)
            if shared := [seed for seed in mine if seed in theirs]:
                by_rung[rung] = {seed: mine[seed] - theirs[seed] for seed in shared}
        pairs = {
            rung: self._blocks(arm, reference, rung, seeds, measured)
            for rung, seeds in by_rung.items()
        }
        variances = self._variances_of(arm, reference, measured)
        rungs = [
            RungDifference(
                rung=rung,
                seeds=tuple(by_seed),
                by_seed=tuple(by_seed.values()),
                estimate=(found := self._estimate({rung: by_seed}, pairs, variances, measured)),
                verdict=verdict(found, found.p_value, measured),
            )
            for rung, by_seed in by_rung.items()
        ]
        overall = self._estimate(by_rung, pairs, variances, measured) if by_rung else None
        return Difference(
            arm=arm,
            reference=reference,
            measure=measured[0],
            name=measured[1],
            chance=self._chance(measured),
            rungs=tuple(rungs),
            overall=overall,
            verdict=verdict(overall, overall.p_value if overall else None, measured),
        )

    def _estimate(
        self,
        by_rung: Mapping[str, Mapping[int, float]],
        pairs: Mapping[str, Sequence[Pair]],
        variances: Mapping[str, Variance],
        measured: Measured,
    ) -> Estimate:
        """The plain mean over rungs of paired differences, of which there are some at each."""
        means = [math.fsum(by_seed.values()) / len(by_seed) for by_seed in by_rung.values()]
        share = 1 / len(by_rung) ** 2
        weights = [2 * share / len(by_rung[rung]) if rung in by_rung else 0.0 for rung in variances]
        return estimate(
            math.fsum(means) / len(means),
            weighted(list(variances.values()), weights),
            num_pairs=sum(map(len, by_rung.values())),
            text=text_variance([pairs[rung] for rung in by_rung], self._slices(measured)),
        )

    def _blocks(
        self, arm: str, reference: str, rung: str, seeds: Iterable[int], measured: Measured
    ) -> list[Pair]:
        """The held-out blocks of every pair, where all runs kept them."""
        pairs = []
        for seed in seeds:
            mine, theirs = (self.results[each, rung, seed].blocks for each in (arm, reference))
            if measured[0] != "bits_per_byte" or mine is None or theirs is None:
                return []
            pairs.append((mine, theirs))
        return pairs

    def _slices(self, measured: Measured) -> list[str]:
        """The slices of held-out text that a measured value is the mean of."""
        kind, _, rest = measured[1].partition("/")
        if kind != BALANCED:
            return [measured[1]]
        return [name for measure, name in self.measured if name.startswith(f"{rest}/")]

    def ratio(self, difference: Difference) -> ComputeRatio | None:
        """The arm's compute ratio to the baseline, where that was run at other budgets."""
        measured = (difference.measure, difference.name)
        sign = -1.0 if measured[0] in HIGHER_IS_BETTER else 1.0
        losses, alone = [], []
        for found in difference.rungs:
            budgets = {1.0: self._values(self.baseline, found.rung, measured)}
            budgets |= self._at_multiples(found.rung, measured)
            if len(budgets) > 1:
                at_budgets = {
                    multiple: {seed: sign * value for seed, value in by_seed.items()}
                    for multiple, by_seed in budgets.items()
                }
                rung = RungLosses(sign * found.estimate.mean, at_budgets)
                losses.append(rung)
                alone.append((found.rung, ratio_of([rung], _variance(found.estimate))))
        if difference.overall is None or not losses or len(losses) < len(difference.rungs):
            return None
        overall = ratio_of(losses, _variance(difference.overall))
        if overall is None:
            return None
        return ComputeRatio(
            arm=difference.arm,
            reference=self.baseline,
            multiples=tuple(sorted(set.intersection(*(set(r.baseline) for r in losses)))),
            rungs=tuple(
                RungRatio(rung=rung, ratio=found.ratio, low=found.low, high=found.high)
                for rung, found in alone
                if found is not None
            ),
            ratio=overall.ratio,
            low=overall.low,
            high=overall.high,
            reach=overall.reach,
        )


def _variance(found: Estimate) -> Variance:
    return Variance((found.standard_error or 0.0) ** 2, found.degrees_of_freedom)
