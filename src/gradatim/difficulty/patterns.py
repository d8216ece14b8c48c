"""Letter patterns that correct the syllable count, and words that take a full stop of their own.

A pattern is a string of letters, `^` a border of the word and `'` the apostrophe; wherever it
occurs in a word, the count changes by its number.
"""

from __future__ import annotations

from collections import Counter, deque
from functools import lru_cache

import numpy as np

from gradatim.difficulty.syllable_patterns import ONE_FEWER, ONE_MORE
from gradatim.difficulty.syllables import (
    APOSTROPHE_SYMBOL,
    BORDER,
    CHANGE,
    CHANGE_ZERO,
    KIND,
    NUM_SYMBOLS,
    PLAIN,
    SHORTENED,
    TITLE,
    Patterns,
)

SYMBOLS = {"^": BORDER, "'": APOSTROPHE_SYMBOL} | {chr(96 + i): i for i in range(1, 27)}
"""Characters of patterns as the kernel writes them."""

_TITLES = """
mr mrs ms messrs mme mlle dr prof st rev hon gen col capt lt lieut sgt maj gov sen rep pres supt
adm mt ft vs viz cf chap
"""

_SHORTENED = """
etc inc co ltd corp jr sr bros esq al ave dept univ no nos vol fig figs pp ed eds jan feb mar apr
jun jul aug sept oct nov dec lb lbs oz
"""


@lru_cache(maxsize=1)
def automaton() -> Patterns:
    """All patterns as one automaton that takes one step a letter.

    A. V. Aho and M. J. Corasick, "Efficient string matching: an aid to bibliographic search",
    Communications of the ACM 18 (1975). State 0 is the beginning.
    """
    states: list[dict[int, int]] = [{}]
    changes = Counter(_state(states, pattern) for pattern in ONE_MORE.split())
    changes.subtract(_state(states, pattern) for pattern in ONE_FEWER.split())
    kinds = {_state(states, f"^{word}^"): TITLE for word in _TITLES.split()}
    kinds |= {_state(states, f"^{word}^"): SHORTENED for word in _SHORTENED.split()}

    table = np.zeros((len(states), 32), np.uint16)
    next_state = table[:, :NUM_SYMBOLS]
    table[:, KIND] = [kinds.get(state, PLAIN) for state in range(len(states))]
    change = [changes[state] for state in range(len(states))]
    waiting = deque([(0, 0)])  # each state with the one of its longest proper ending
    while waiting:
        state, ending = waiting.popleft()
        if state:
            next_state[state] = next_state[ending]
            change[state] += change[ending]
        for symbol, target in states[state].items():
            waiting.append((target, int(next_state[state, symbol])))
            next_state[state, symbol] = target
    table[:, CHANGE] = np.array(change) + CHANGE_ZERO
    return table


def _state(states: list[dict[int, int]], pattern: str) -> int:
    """The state a pattern leads to in the tree of patterns, made where it is missing."""
    state = 0
    for character in pattern:
        symbol = SYMBOLS[character]
        if symbol not in states[state]:
            states[state][symbol] = len(states)
            states.append({})
        state = states[state][symbol]
    return state
