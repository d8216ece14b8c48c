"""Held-out loss in bits per byte, for the whole set and for every slice of it.

Bits per byte does not depend on the tokenizer's vocabulary, so it can be compared across stores.
Separator tokens are left out of both sides of the ratio: predicting the end of a passage is not
predicting text. The first token of a block has no context and is not predicted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gradatim.blocks.store import Store
from gradatim.errors import StoreError
from gradatim.model.network import Network

HELD_OUT = "held_out"
OUT_OF_DISTRIBUTION = "out_of_distribution"


@dataclass(frozen=True)
class HeldOutSet:
    """A fixed set of blocks and the slices it is reported by.

    Attributes:
        tokens: [num_blocks, block_tokens] int64.
        num_bytes: [num_blocks] UTF-8 bytes of the predicted tokens, separators excluded.
        slices: name ("all", "band/1", "level/a", "source/x", "split/out_of_distribution") to a
            boolean mask over the blocks.
        strata: [num_blocks] what the blocks were spread over.
        separator_id: the token whose prediction is not counted.
    """

    tokens: NDArray[np.int64]
    num_bytes: NDArray[np.int64]
    slices: Mapping[str, NDArray[np.bool_]]
    strata: NDArray[np.int64]
    separator_id: int

    def bits_per_byte(self, nats: NDArray[np.float64]) -> dict[str, float]:
        """Of every slice: summed nats of its targets / ln 2 / its bytes.

        Args:
            nats: [num_blocks] summed over the counted targets of a block.
        """
        return {
            name: float(nats[mask].sum() / math.log(2) / self.num_bytes[mask].sum())
            for name, mask in self.slices.items()
            if self.num_bytes[mask].sum() > 0
        }

    def mean_losses(self, nats: NDArray[np.float64]) -> list[float]:
        """Mean nats a counted target of the blocks inside the distribution, as training has it.

        Args:
            nats: [num_blocks] summed over the counted targets of a block.
        """
        num_targets = (self.tokens[:, 1:] != self.separator_id).sum(axis=1).clip(min=1)
        means: list[float] = np.round(nats / num_targets, 4)[self.slices["all"]].tolist()
        return means

    def by_block(self, nats: NDArray[np.float64]) -> dict[str, Any]:
        """The same before it is summed, for whoever asks how much the choice of text matters.

        Returns:
            nats, bytes and strata, [num_blocks] each, and of every slice the rows it holds.
        """
        return {
            "nats": np.round(nats, 4).tolist(),
            "bytes": self.num_bytes.tolist(),
            "strata": self.strata.tolist(),
            "slices": {name: np.flatnonzero(mask).tolist() for name, mask in self.slices.items()},
        }


def spread_evenly(
    strata: NDArray[np.integer[Any]],
    num_picked: int,
    within: NDArray[np.integer[Any]] | None = None,
) -> NDArray[np.int64]:
    """Positions of at most `num_picked` entries, as evenly over the strata as their sizes allow.

    In a stratum they are spread evenly over the parts that `within` names, if it is given; in a
    part every k-th entry is taken, so the choice is a function of the store alone.
    """
    groups = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    groups.sort(key=len)
    picked: list[NDArray[np.int64]] = []
    remaining = num_picked
    for index, group in enumerate(groups):
        share = min(len(group), remaining // (len(groups) - index))
        if within is None:
            picked.append(group[(np.arange(share) * len(group)) // max(share, 1)])
        else:
            picked.append(group[spread_evenly(within[group], share)])
        remaining -= share
    return np.sort(np.concatenate(picked)) if picked else np.zeros(0, np.int64)


def held_out_set(
    store: Store, *, num_blocks: int, num_bands: int, max_sources: int = 12
) -> HeldOutSet:
    """Choose the blocks to evaluate on: the same for every run on this store.

    Args:
        store: an open block store.
        num_blocks: held-out blocks to read, spread evenly over levels where the store has them,
            else over difficulty bands, and in each evenly over sources; half as many again from the
            out-of-distribution split if there is one.
        num_bands: difficulty bands (quantiles of the training split).
        max_sources: sources are reported one by one only when there are no more than this many.

    Raises:
        StoreError: the store has no held-out block.
    """
    if len(store.ids(HELD_OUT)) == 0:
        raise StoreError(
            "no held-out block to evaluate on",
            where=str(store.path),
            remedy="Build it again with `gradatim build`, which sees to it that there is some",
        )
    by_level = len(store.labels("level").names) > 1
    inside = _picked(store, HELD_OUT, num_blocks, num_bands=num_bands, by_level=by_level)
    outside = _picked(
        store, OUT_OF_DISTRIBUTION, num_blocks // 2, num_bands=num_bands, by_level=by_level
    )
    ids = np.concatenate([inside["id"], outside["id"]])
    is_inside = np.arange(len(ids)) < len(inside["id"])

    kinds = ["band", *(["level"] if by_level else [])]
    if 1 < len(np.unique(inside["source"])) <= max_sources:
        kinds.append("source")
    slices = {"all": is_inside}
    for kind in kinds:
        values = np.concatenate([inside[kind], outside[kind]])
        for value in np.unique(inside[kind]):
            slices[f"{kind}/{value if value != '' else 'none'}"] = is_inside & (values == value)
    if len(outside["id"]):
        slices[f"split/{OUT_OF_DISTRIBUTION}"] = ~is_inside
    return HeldOutSet(
        tokens=store.read(ids),
        num_bytes=np.concatenate([inside["bytes"], outside["bytes"]]).astype(np.int64),
        slices=slices,
        strata=np.concatenate([inside["stratum"], outside["stratum"]]),
        separator_id=store.separator_id,
    )


def _picked(
    store: Store, split: str, num_blocks: int, *, num_bands: int, by_level: bool
) -> dict[str, NDArray[Any]]:
    """What is known of blocks of a split, spread evenly over its levels or bands, then sources."""
    bands, levels = store.bands(num_bands, split), store.labels("level", split)
    strata = levels.codes if by_level else bands
    sources = store.labels("source", split)
    rows = spread_evenly(strata, num_blocks, sources.codes)
    return {
        "id": store.ids(split)[rows],
        "stratum": strata[rows].astype(np.int64),
        "bytes": store.column("bytes", split)[rows],
        "band": bands[rows],
        "level": np.array(levels.names)[levels.codes[rows]],
        "source": np.array(sources.names)[sources.codes[rows]],
    }


@torch.no_grad()
def block_nats(
    network: Network, held_out: HeldOutSet, *, batch_blocks: int = 16
) -> NDArray[np.float64]:
    """Nats of each held-out block, [num_blocks], summed over its targets but separators."""
    device = next(network.parameters()).device
    nats: list[NDArray[np.float64]] = []
    for start in range(0, len(held_out.tokens), batch_blocks):
        tokens_BT = torch.from_numpy(held_out.tokens[start : start + batch_blocks]).to(device)
        losses_BS = network.token_losses(tokens_BT).double()
        counted_BS = tokens_BT[:, 1:] != held_out.separator_id
        nats.append((losses_BS * counted_BS).sum(dim=1).cpu().numpy())
    return np.concatenate(nats)
