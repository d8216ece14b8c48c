"""Syllables of one English word: vowel groups, corrected by learned letter patterns.

Syllables are runs of vowel letters less silent final e's, corrected by letter patterns learned
from a pronouncing dictionary (see `gradatim.difficulty.patterns`). A digit counts as one syllable,
so does each letter of a vowelless word in capitals.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradatim.difficulty.characters import Bytes
from gradatim.difficulty.compiled import inner

PLAIN, TITLE, SHORTENED = 0, 1, 2
"""Kinds of words before a full stop: any; ends no sentence; ends one if a capital follows."""

# Letters of a word in the buffer: a = 1 … z = 26, apostrophe 27; 0 stands at both borders.
BORDER = 0
_A, _C, _D, _E, _G, _H, _I, _L = 1, 3, 4, 5, 7, 8, 9, 12
_O, _Q, _R, _S, _T, _U, _X, _Y, _Z = 15, 17, 18, 19, 20, 21, 24, 25, 26
APOSTROPHE_SYMBOL = 27
NUM_SYMBOLS = 28
CHANGE, KIND = 30, 31  # columns of the automaton; the change is stored with 128 added
CHANGE_ZERO = 128
MOST_LETTERS = 62  # a longer run of letters is no word of English: its beginning is counted

Patterns = NDArray[np.uint16]
"""By state one row of 32, which is a cache line: the next state by symbol, and two values."""

_IS_VOWEL = np.isin(np.arange(NUM_SYMBOLS), [_A, _E, _I, _O, _U, _Y])


@inner
def _is_silent_e(word: Bytes, n: int, at: int) -> bool:
    """Whether letter `at` is an e with nothing behind it, or an -s or -d that leaves it silent."""
    if word[at] != _E or at < 3 or _IS_VOWEL[word[at - 1]]:
        return False
    before = word[at - 1]
    if before in (_L, _R) and not _IS_VOWEL[word[at - 2]] and word[at - 2] != before:
        return False  # ta-ble, a-cre, hun-dred
    if at == n:
        return True
    if word[n] == _D:
        return before not in (_T, _D)
    if word[n] != _S:
        return False
    hissed = before in (_S, _Z, _X, _C, _G) or (before == _H and word[at - 2] in (_C, _S))
    return not hissed


@inner
def base_syllables(word: Bytes, n: int) -> int:
    """Vowel groups of word[1 : n + 1] (borders at 0 and n + 1) without silent final e's."""
    num_groups = 0
    in_group = False
    for i in range(1, n + 1):
        is_vowel = _IS_VOWEL[word[i]]
        if word[i] == _Y and _IS_VOWEL[word[i + 1]]:
            is_vowel = i > 1 and not in_group  # no in yes and be-yond; yes in can-yon
        elif word[i] == _U and word[i - 1] == _Q:
            is_vowel = False
        num_groups += is_vowel and not in_group
        in_group = is_vowel
    if n > 2 and (_is_silent_e(word, n, n) or _is_silent_e(word, n, n - 1)):
        num_groups -= 1
    return num_groups


@inner
def look_up(word: Bytes, n: int, patterns: Patterns) -> tuple[int, int]:
    """Syllables of the letters word[1 : n + 1], 0 if they hold no vowel, and the word's kind."""
    word[n + 1] = BORDER
    num_syllables = base_syllables(word, n)
    is_vowelless = True
    state = np.uint16(0)
    for i in range(n + 2):
        is_vowelless = is_vowelless and not _IS_VOWEL[word[i]]
        state = patterns[state, word[i]]
        num_syllables += int(patterns[state, CHANGE]) - CHANGE_ZERO
    kind = int(patterns[state, KIND])
    if is_vowelless and num_syllables <= 0:
        return 0, kind
    return max(num_syllables, 1), kind
