"""Whether a store has held-out text, and of which sources and levels it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import ceil

from gradatim.blocks.packing import Chain
from gradatim.blocks.store import HELD_OUT, OUT_OF_DISTRIBUTION, TRAIN
from gradatim.errors import InputError

LABELS = ("source", "level")
MOST_NAMES = 100
OTHERS = "(others)"
_SLACK = 1.7  # whole documents and passages may miss the share asked by a quarter, either way


Amounts = dict[str, dict[str, int]]
"""Split, then name: so much of it."""


def largest(amounts: Mapping[str, Mapping[str, int]]) -> Amounts:
    """The names with the largest amounts over all splits one by one, the rest together."""
    totals: Counter[str] = Counter()
    for of_split in amounts.values():
        totals.update(of_split)
    names = sorted(totals, key=lambda name: (-totals[name], name))
    shown = {name: name for name in names[:MOST_NAMES]}
    kept: Amounts = {split: {} for split in amounts}
    for split, of_split in amounts.items():
        for name, amount in of_split.items():
            name = shown.get(name, OTHERS)
            kept[split][name] = kept[split].get(name, 0) + amount
    return kept


def held_out_counts(
    label_bytes: Mapping[str, Amounts], label_blocks: Mapping[str, Amounts]
) -> dict[str, Amounts]:
    """For `store.json`: by source and level, bytes of text and how much of it is held out.

    Args:
        label_bytes: label to bytes of passages, as `largest` gives them.
        label_blocks: the same for blocks, by their main source and their level.

    Returns:
        Label, name, then `bytes` (training and held-out), `held_out_bytes`, `held_out_blocks`.
    """
    counts = {}
    for label in LABELS:
        held_out = label_bytes[label].get(HELD_OUT, {})
        train = label_bytes[label].get(TRAIN, {})
        rows = {
            name: {
                "bytes": train.get(name, 0) + held_out.get(name, 0),
                "held_out_bytes": held_out.get(name, 0),
                "held_out_blocks": 0,
            }
            for name in sorted({*train, *held_out})
        }
        for name, num_blocks in label_blocks[label].get(HELD_OUT, {}).items():
            rows[name if name in rows else OTHERS]["held_out_blocks"] += num_blocks
        counts[label] = rows
    return counts


def check_filled(
    chains: Sequence[Chain], *, block_tokens: int, held_out_fraction: float | None
) -> None:
    """Refuse a store that would have nothing to train or nothing to evaluate on.

    Raises:
        InputError: the training or the held-out text does not fill a block; with one remedy.
    """
    most = {TRAIN: 0, HELD_OUT: 0, OUT_OF_DISTRIBUTION: 0}
    for chain in chains:
        most[chain.split] = max(most[chain.split], chain.num_tokens)
    for split, name in ((TRAIN, "training"), (HELD_OUT, "held-out")):
        if most[split] < block_tokens:
            raise InputError(
                f"the {name} text does not fill one block",
                where="corpus",
                expected=f"at least {block_tokens} tokens in one level",
                got=str(most[split]),
                remedy=_remedy(most[TRAIN], most[HELD_OUT], block_tokens, held_out_fraction),
            )


def _remedy(train: int, held_out: int, block_tokens: int, fraction: float | None) -> str:
    """The one thing to do; tokens are those of the longest chains."""
    if held_out and fraction is not None:
        enough = ceil(100 * _SLACK * fraction * block_tokens / held_out) / 100
        rest = train * (1 - _SLACK * enough) / (1 - fraction)
        if held_out < block_tokens <= rest:
            return f"Set held_out_fraction to {enough:g} (--held-out-fraction {enough:g})"
    fits = min(train, held_out)
    if fits >= 2:
        return f"Set block_tokens to {fits} (--block-tokens {fits})"
    return "Give more text"
