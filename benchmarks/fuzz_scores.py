"""Feeds odd texts to the scorer for a while: numbers or nulls, never NaN, never a crash.

    python benchmarks/fuzz_scores.py --minutes 3 --seed 0

Texts are random mixtures of scripts, signs, numbers, code, tables, verse, control characters and
mutilated real sentences, from nothing to a million characters. A failure prints the seed and the
text's number, which give the same text again.
"""

from __future__ import annotations

import argparse
import random
import time

import numpy as np
import pyarrow as pa

from gradatim.corpus.documents import Document
from gradatim.corpus.passages import cut
from gradatim.difficulty.columns import COUNT_NAMES
from gradatim.difficulty.surface import ALL_METRICS, SurfaceMetrics, surface_columns

METRICS = SurfaceMetrics(
    names=tuple(name for name in ALL_METRICS if name != "tokens_per_word"), counts=True
)
ATOMS = [
    "the", "Mr.", "U.S.", "don't", "well-known", "3.14", "10:30", "1,000", "e.g.", "I'll", "BBC",
    "a" * 70, "'" * 9, "--", "…", "?!", "。", "表", "語", "é", "e\u0301", "\u200d", "\u00ad", "ß",
    "😀", "👩\u200d👩\u200d👧", "\x00", "\r\n", "\n\n", "\t", "\u2028", "{", "}", "==", "|", "<b>",
    "# ", "Ω", "Привет", "שלום", "مرحبا", "हिन्दी", "\U0010ffff", "\ufeff", "“", "”", "’", "(", ")",
]  # fmt: skip


def odd_text(rng: random.Random) -> str:
    kind = rng.randrange(7)
    length = int(10 ** rng.uniform(0, 3 if rng.random() < 0.99 else 6))
    if kind == 0:
        return "".join(chr(_code_point(rng)) for _ in range(length))
    if kind == 1:
        return "".join(rng.choice(ATOMS) for _ in range(length // 3))
    if kind == 2:
        return " ".join(rng.choice(ATOMS) for _ in range(length // 4))
    if kind == 3:
        return "\n".join(rng.choice(["word", "a b c", "", "x = 1;"]) for _ in range(length // 4))
    if kind == 6:
        words = (f"{rng.randrange(length):b}".translate({48: "a", 49: "b"}) for _ in range(length))
        return rng.choice(["-", ".", "'", " "]).join(words)
    if kind == 4:
        return rng.choice(ATOMS) * length
    sentence = "The old man, who had no dog, walked to the river; nobody saw him. "
    letters = list(sentence * (length // len(sentence) + 1))
    for _ in range(len(letters) // 10):
        letters[rng.randrange(len(letters))] = rng.choice(ATOMS)
    return "".join(letters)


def _code_point(rng: random.Random) -> int:
    while 0xD800 <= (point := rng.randrange(rng.choice([128, 256, 0x3000, 0x110000]))) < 0xE000:
        pass
    return point


def check(texts: list[str]) -> None:
    columns = surface_columns(pa.array(texts, pa.large_string()), METRICS)
    for name in METRICS.names:
        values = columns[name].drop_null().to_numpy()
        assert np.isfinite(values).all(), name
    for name in COUNT_NAMES:
        assert columns[name].null_count == 0, name
        assert (columns[name].to_numpy() >= 0).all(), name
    for i, text in enumerate(texts):
        assert columns["num_characters"][i].as_py() == len(text)
        assert columns["is_prose"][i].as_py() == (columns["not_prose_reason"][i].as_py() is None)
        if text and not text.isspace():
            passages = list(cut(Document(str(i), text, "fuzz"), max_bytes=500, min_bytes=50))
            assert all(passage.text for passage in passages)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    end = time.monotonic() + 60 * arguments.minutes
    number = num_bytes = 0
    while time.monotonic() < end:
        texts = [odd_text(random.Random(f"{arguments.seed}/{number + i}")) for i in range(50)]
        try:
            check(texts)
        except Exception:
            print(f"seed {arguments.seed}, texts {number} to {number + 49}")
            raise
        number += len(texts)
        num_bytes += sum(len(text.encode()) for text in texts)
    print(f"{number:,} odd texts, {num_bytes / 1e6:,.0f} MB: no failure")


if __name__ == "__main__":
    main()
