"""A mixture over levels, sources or bands whose weights follow the losses of training.

Each label is an arm of a bandit. After a step, the mean losses of the labels in its batch become
rewards, and from these the weights of the next batches. Blocks are then drawn as in `stages`:
apportioned by what each label is owed, where the published method draws labels by chance.

`odm` is Online Data Mixing (Albalak et al. 2023, arXiv 2312.02406) in the form its authors
released and name as the paper's (alon-albalak/online-data-mixing, the smoothed mean, updated for a
group of domains). With K labels, after step t,

    e_t = min(1/K, sqrt(ln K / (K t)))
    R_i <- a R_i + (1 - a) exp(loss_i)          for the labels in the batch; R_i = 0 at the start
    w_i = (1 - K e_t) R_i / sum_j R_j + e_t

The paper's text divides rewards by the weight and takes a softmax of them; that form is not here.

`improvement` is ours, after learning progress as a reward (Graves et al. 2017, arXiv 1704.03003):
the label whose loss falls fastest is drawn most. With the same e_t,

    m_i <- a m_i + (1 - a) loss_i               m_i = loss_i when first seen
    G_i <- a G_i + (1 - a) max(0, m_i before - m_i after)
    w_i = (1 - K e_t) G_i / sum_j G_j + e_t     unchanged while no loss has fallen

Exponentials and logarithms are decimal ones, correctly rounded, so that equal losses give equal
weights, and equal draws, on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Context, Decimal
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from gradatim.errors import SpecError
from gradatim.streams import Stream
from gradatim.timelines.data.bands import DEFAULT_METRIC, Grouping, NumBands, check_bands
from gradatim.timelines.data.door import (
    BlockIds,
    BlockTable,
    Curriculum,
    Losses,
    check_draw,
    sentence,
)
from gradatim.timelines.data.ending import EvenEndingFraction
from gradatim.timelines.data.lag import Lagged
from gradatim.timelines.data.method import LagSteps, plan_settings
from gradatim.timelines.data.mixture import Grouped, Mixture, counted, label_pool
from gradatim.timelines.data.ranking import dealt_out
from gradatim.timelines.data.sample import Sample, sampled

MAX_LABELS = 100
"""Beyond so many, a batch holds too few of them for their losses to be known."""

MAX_LOSS_NATS = 100.0
"""What a loss counts as at most: its exponential stays a number."""

DECIMALS_TOLD = 6
CONTROLS = {
    "shuffled": "labels dealt out at random",
    "static": "the weights of the start kept to the end",
}
RULES = {
    "odm": "the weight of a label rises with the exponential of its loss (ODM)",
    "improvement": "the weight of a label rises with the fall of its loss",
}
_EXACT = Context(prec=28)


class Bandit(Grouped):
    """An online mixture: a label is drawn the more, the greater its reward.

    It begins with the labels' shares of the blocks. Of its controls, `shuffled` has the same rule,
    sizes and so repetition of labels, but the labels mean nothing; `static` has the same pools and
    weights that do not move. What a run's mean or last weights would have done from the start, as
    the authors of ODM asked, can be asked once there is one: as an arm with `stages`.

    Args:
        by: which labels, `level`, `source` or `band`. Blocks without a level or source, or of
            unknown difficulty, are a label of their own.
        metric: the difficulty column of the bands.
        num_bands: how many bands there are; needed for them.
        rule: from losses to weights: `odm` as its authors released it, or `improvement`, ours.
        smoothing: a, how much of a reward is kept at an update: 0.9 in the released class; the
            released runs of 1B and 3B parameters also tried 0.5.
        warmup_fraction: of the run, during which the weights stay and losses are not looked at;
            0.02, as 2,000 of 100,000 steps in the released runs.
        update_every_steps: steps between updates, which then see the losses of all of them; 1 in
            the released runs.
        lag_steps: how many steps late losses are looked at (`lag`).
        control: None for the method; `shuffled` or `static` for its controls.
        even_ending_fraction: share of the run, at its end, that reads the training mixture
            (`ending`).
        sample: as in `uniform`. With `budget`, a label that is used up hands its draws to the
            others, so that the losses decide when a label is read and not how often.
    """

    kind: Literal["bandit"] = "bandit"
    by: Grouping = "level"
    metric: str = DEFAULT_METRIC
    num_bands: NumBands | None = None
    rule: Literal["odm", "improvement"] = "odm"
    smoothing: float = Field(default=0.9, ge=0, lt=1)
    warmup_fraction: float = Field(default=0.02, ge=0, lt=1)
    update_every_steps: int = Field(default=1, ge=1)
    lag_steps: LagSteps = 0
    control: Literal["shuffled", "static"] | None = None
    even_ending_fraction: EvenEndingFraction = None
    sample: Sample = "all"

    @model_validator(mode="after")
    def _bands_have_a_number(self) -> Bandit:
        check_bands(self.by, self.num_bands, self.metric)
        return self

    @property
    def reads_losses(self) -> bool:
        """Whether what it draws depends on the losses observed."""
        return self.control != "static"

    def controls(self) -> dict[str, Bandit]:
        """The same rule over labels dealt out at random, and the weights of the start."""
        if self.control is not None:
            return {}
        return {name: self.with_control(name) for name in CONTROLS}

    def check(self, table: BlockTable) -> None:
        """Refuse blocks that are all of one label, or of too many."""
        there = self.labels_there(table)
        if not 2 <= len(there) <= MAX_LABELS:
            told = f"all blocks: {there[0] or f'no {self.by}'}" if len(there) == 1 else None
            raise SpecError(
                "there is nothing to mix" if told else "too many labels to mix by their losses",
                where="data.by",
                expected=f"blocks of 2 to {MAX_LABELS} labels",
                got=told or f"{len(there):,} of {self.by}",
                remedy="Mix by another of level, source and band",
            )

    def make(self, table: BlockTable, *, num_draws: int, seed: int | str) -> Curriculum:
        """A pool a label, drawn from in proportions that losses change."""
        order = bandit_order(self, table, num_draws=num_draws, seed=seed)
        return Lagged(order, self.lag_steps) if self.reads_losses else order


class BanditOrder:
    """A mixture whose weights follow the losses observed.

    Args:
        spec: the settings.
        mixture: the pools of `labels`.
        labels: their names.
        code_of_id: [highest id + 1] the place of a block's label; `len(labels)` for ids that are
            not of this curriculum.
        weights: of the start.
        plan: what is intended.
    """

    def __init__(
        self,
        spec: Bandit,
        mixture: Mixture,
        labels: Sequence[str],
        code_of_id: NDArray[np.integer[Any]],
        weights: Sequence[float],
        plan: Mapping[str, Any],
    ) -> None:
        self.plan = plan
        self._spec, self._mixture, self._labels = spec, mixture, labels
        self._code_of_id = code_of_id
        self._update = {"odm": self._odm, "improvement": self._improvement}[spec.rule]
        self._weights = list(weights)
        self._step = 0
        self._progress = 0.0
        self._rewards = [0.0] * len(labels)
        self._means = [math.nan] * len(labels)
        self._sums = [0.0] * len(labels)  # of losses since the last update, and of how many blocks
        self._counts = [0] * len(labels)
        self._is_news = True

    def draw(self, progress: float, num_blocks: int) -> BlockIds:
        check_draw(progress, num_blocks)
        self._progress = progress
        return self._mixture.draw(self._weights, num_blocks)

    def observe(
        self, block_ids: BlockIds, losses_nats: Losses, update_norm: float | None = None
    ) -> None:
        self._step += 1
        if not self._spec.reads_losses or self._progress < self._spec.warmup_fraction:
            return
        self._collect(block_ids, losses_nats)
        if self._step % self._spec.update_every_steps == 0 and any(self._counts):
            pairs = enumerate(zip(self._sums, self._counts, strict=True))
            losses = {i: min(total / n, MAX_LOSS_NATS) for i, (total, n) in pairs if n}
            self._update(losses)
            self._set_weights()
            self._sums, self._counts = [0.0] * len(self._labels), [0] * len(self._labels)

    def _collect(self, block_ids: BlockIds, losses_nats: Losses) -> None:
        num_labels = len(self._labels)
        of_label: list[list[float]] = [[] for _ in range(num_labels + 1)]
        codes = self._code_of_id[np.minimum(block_ids, len(self._code_of_id) - 1)]
        for code, loss in zip(codes.tolist(), losses_nats.tolist(), strict=True):
            of_label[code].append(loss)
        for code, losses in enumerate(of_label[:num_labels]):
            self._sums[code] += math.fsum(losses)
            self._counts[code] += len(losses)

    def _odm(self, losses: Mapping[int, float]) -> None:
        for label, loss in losses.items():
            self._rewards[label] = self._smoothed(self._rewards[label], _exp(loss))

    def _improvement(self, losses: Mapping[int, float]) -> None:
        for label, loss in losses.items():
            before = self._means[label]
            if math.isnan(before):
                self._means[label] = loss
                continue
            self._means[label] = self._smoothed(before, loss)
            fall = max(0.0, before - self._means[label])
            self._rewards[label] = self._smoothed(self._rewards[label], fall)

    def _smoothed(self, before: float, new: float) -> float:
        kept = self._spec.smoothing
        return kept * before + (1 - kept) * new

    def _set_weights(self) -> None:
        total = math.fsum(self._rewards)
        if total <= 0:
            return
        num_labels = len(self._labels)
        explored = exploration(num_labels, self._step)
        share = 1 - num_labels * explored
        weights = [share * reward / total + explored for reward in self._rewards]
        whole = math.fsum(weights)
        self._weights = [weight / whole for weight in weights]
        self._is_news = True

    def news(self) -> dict[str, Any] | None:
        """The weights of all labels, when they have changed."""
        if not self._is_news:
            return None
        self._is_news = False
        pairs = zip(self._labels, self._weights, strict=True)
        return {"weights": {label or "none": round(w, DECIMALS_TOLD) for label, w in pairs}}

    def state(self) -> dict[str, Any]:
        return {
            "mixture": self._mixture.state(),
            "step": self._step,
            "progress": self._progress,
            "is_news": int(self._is_news),
            "counts": np.array(self._counts),
            **{
                name: np.array(getattr(self, f"_{name}"), dtype=np.float64)
                for name in ("weights", "rewards", "means", "sums")
            },
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self._mixture.restore(state["mixture"])
        self._step, self._progress = int(state["step"]), float(state["progress"])
        self._is_news = bool(state["is_news"])
        self._counts = np.asarray(state["counts"], dtype=np.int64).tolist()
        for name in ("weights", "rewards", "means", "sums"):
            setattr(self, f"_{name}", np.asarray(state[name], dtype=np.float64).tolist())


def bandit_order(
    spec: Bandit, table: BlockTable, *, num_draws: int, seed: int | str
) -> BanditOrder:
    """The curriculum of a `Bandit` specification over these blocks, without its lag."""
    names, code_of_block = spec.labels(table)
    chosen = sampled(len(table), spec.sample, num_draws=num_draws, seed=seed)
    ids, codes = chosen(table.ids), chosen(code_of_block)
    if spec.control == "shuffled":  # within the sample, so that labels keep their sizes
        codes = dealt_out(codes, ids, Stream(seed, "control/shuffled"))
    codes_L, num_blocks_L = counted(codes)
    labels = [str(names[code]) for code in codes_L]
    places = np.full(int(codes_L[-1]) + 1, len(labels), dtype=np.uint8)
    places[codes_L] = np.arange(len(labels))
    code_of_id = np.full(int(ids.max()) + 2, len(labels), dtype=np.uint8)
    code_of_id[ids] = places[codes]
    pools = [
        label_pool(ids[codes == code], label, seed)
        for code, label in zip(codes_L, labels, strict=True)
    ]
    weights = [count / len(ids) for count in num_blocks_L.tolist()]
    plan: dict[str, Any] = {
        **plan_settings(spec, "by", "rule", *(("metric", "num_bands") if spec.num_bands else ())),
        **spec.model_dump(include={"smoothing", "warmup_fraction", "update_every_steps"}),
        "num_blocks": len(ids),
        "num_draws": num_draws,
        "num_blocks_of_label": dict(zip(labels, num_blocks_L.tolist(), strict=True)),
    }
    plan["sentence"] = sentence(plan, _sentence(spec, len(labels)), CONTROLS)
    mixture = Mixture(pools, is_strict=spec.sample == "budget")
    return BanditOrder(spec, mixture, labels, code_of_id, weights, plan)


def exploration(num_labels: int, step: int) -> float:
    """The least weight of a label after a step, from 1: e_t of the module."""
    log = float(_EXACT.ln(Decimal(num_labels)))
    return min(1 / num_labels, math.sqrt(log / (num_labels * step)))


def _exp(value: float) -> float:
    return float(_EXACT.exp(Decimal(value)))


def _sentence(spec: Bandit, num_labels: int) -> str:
    every = spec.update_every_steps
    return (
        f"mixture by {spec.by} of {num_labels} labels that follows the losses: "
        f"{RULES[spec.rule]}, smoothed by {spec.smoothing:g}, after a warm-up of "
        f"{spec.warmup_fraction:.2g} of the run at the labels' shares of the blocks, updated every "
        f"{'step' if every == 1 else f'{every} steps'}"
    )
