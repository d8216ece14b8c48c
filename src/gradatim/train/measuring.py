"""What is measured of a run at its fixed points: the weights, and every average of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from gradatim.model.network import Network
from gradatim.timelines.rate import Rate
from gradatim.timelines.rate.averages import WEIGHTS
from gradatim.train.state import State


class Evaluate(Protocol):
    """What measures the network at fixed points of progress."""

    def __call__(self, network: Network, progress: float) -> list[dict[str, Any]]:
        """Events for the record: `evaluate`, `sample`; the network is left as it was."""

    def num_tokens(self, progress: float) -> int:
        """Tokens the call at this progress sends through the network, for the ledger's notes."""


def measured(
    evaluate: Evaluate, state: State, rate: Rate, point: float
) -> Iterator[dict[str, Any]]:
    """The events of one point: of the weights as they are, then `evaluate_average` of each average.

    Texts are samples of the outcome alone.
    """
    for name in rate.evaluated:
        with state.network_with(name) as network:
            events = evaluate(network, point)
        for event in events:
            if event["event"] == "evaluate" and name != WEIGHTS:
                yield event | {"event": "evaluate_average", "weights": name}
            elif event["event"] == "evaluate" or name == rate.outcome:
                yield event
