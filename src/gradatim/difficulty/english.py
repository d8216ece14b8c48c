"""What is known of each word of English: how frequent it is, how it sounds, who is taught it.

Word frequencies are those of `wordfreq` (R. Speer, 2022, doi:10.5281/zenodo.7199437; data CC BY-SA
4.0), on the Zipf scale of W. J. B. van Heuven et al. (Quarterly Journal of Experimental
Psychology 67, 2014): the decimal logarithm of occurrences in a thousand million words. `the` has
7.7, a word seen once in a million words 3.

The library's own file is read without the library: importing it takes longer than all the rest.
The finished table is kept beside the compiled code, under a digest of all it was made of.
"""

from __future__ import annotations

import gzip
import hashlib
from contextlib import suppress
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import msgpack
import numpy as np
from numpy.typing import NDArray

from gradatim import files
from gradatim.difficulty.lexicon import (
    FAMILIAR,
    FAMILIAR_EARLY,
    FUNCTION,
    KNOWN,
    PERSONAL,
    Lexicon,
    make_lexicon,
)
from gradatim.difficulty.patterns import automaton
from gradatim.difficulty.word_ages import word_ages_tenths

_HERE = Path(__file__).parent
_FAMILIAR_FILE = _HERE / "familiar_words.txt"
_MADE_OF = (
    "characters.py", "english.py", "familiar_words.txt", "lexicon.py", "patterns.py",
    "syllable_patterns.py", "syllables.py", "word_ages.json", "word_ages.py",
)  # fmt: skip
_MOST_ZIPF_CENTI = 900

_FUNCTION_WORDS = """
the of and to a in that it is was for on with he be at by this not are but from or have an they
which you his had we were her she as all there their has one would been will what if so no can
out up when who more them do its into than then him about my your our me us did any only other
some could these may such where how very much those upon through before after over down
"""

_PERSONAL = """
i me my mine myself you your yours yourself he him his himself she her hers herself we us our ours
ourselves
"""


@lru_cache(maxsize=1)
def lexicon() -> Lexicon:
    """The lexicon of English, about 300 thousand words; a second to make, once."""
    path = _HERE / "__pycache__" / f"lexicon-{_digest()}.npy"
    try:
        table = np.load(path)
    except (OSError, ValueError, EOFError):  # not there yet, or damaged
        words, zipf_centi = listed_words()
        made = english_lexicon(words, zipf_centi, word_ages_tenths(words, zipf_centi))
        _keep(made.table, path)
        return made
    return Lexicon(table, 64 - (table.shape[0].bit_length() - 1))


@lru_cache(maxsize=1)
def listed_words() -> tuple[list[str], NDArray[np.int64]]:
    """The words of English that have a frequency, and it, in hundredths of the Zipf scale."""
    buckets = msgpack.unpackb(gzip.decompress(_frequency_file().read_bytes()), raw=False)
    assert buckets[0]["format"] == "cB", "wordfreq keeps its frequencies in another format"
    words: list[str] = []
    zipf_centi: list[int] = []
    # Bucket b, behind the header, holds words of frequency 10 ** (-b / 100).
    for bucket, found in enumerate(buckets[1:]):
        kept = [word for word in found if _is_word(word)]
        words += kept
        zipf_centi += [_MOST_ZIPF_CENTI - bucket] * len(kept)
    return words, np.minimum(np.array(zipf_centi, np.int64), _MOST_ZIPF_CENTI)


def english_lexicon(
    words: list[str], zipf_centi: NDArray[np.int64], age_tenths: NDArray[np.int64]
) -> Lexicon:
    """The lexicon of these words with other ages, from 0 to 255 tenths of a year."""
    details = np.zeros((len(words), 3), np.int64)
    details[:, 0] = KNOWN
    details[:, 1] = age_tenths
    details[:, 2] = zipf_centi
    numbers = {word: i for i, word in enumerate(words)}
    for flag, listed in _lists().items():
        details[[numbers[word] for word in listed if word in numbers], 0] |= flag
    return make_lexicon(words, details, automaton())


def _keep(table: NDArray[np.uint64], path: Path) -> None:
    """Save the table for the next process, where that may be written."""
    with (
        suppress(OSError),
        files.writing_whole(path, is_shared=True) as partial,
        partial.open("wb") as file,
    ):
        np.save(file, table)


@lru_cache(maxsize=1)
def _digest() -> str:
    digest = hashlib.blake2b(_frequency_file().read_bytes(), digest_size=8)
    for name in _MADE_OF:
        digest.update((_HERE / name).read_bytes())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def _frequency_file() -> Path:
    spec = find_spec("wordfreq")
    assert spec is not None, "wordfreq is installed with gradatim"
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "data" / "large_en.msgpack.gz"


def _is_word(word: str) -> bool:
    return word.isalpha() or word.replace("'", "").isalpha()


def _lists() -> dict[int, frozenset[str]]:
    """Flag to the words that bear it."""
    lines = _FAMILIAR_FILE.read_text(encoding="utf-8").splitlines()
    return {
        FAMILIAR: frozenset(line.removesuffix(" *") for line in lines),
        FAMILIAR_EARLY: frozenset(line.removesuffix(" *") for line in lines if line.endswith("*")),
        FUNCTION: frozenset(_FUNCTION_WORDS.split()),
        PERSONAL: frozenset(_PERSONAL.split()),
    }
