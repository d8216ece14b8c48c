"""Megabytes of graded-world text a second on one core, beside the cheapest possible generator.

The baseline joins words drawn at random into lines as long as the level's items: no grammar, no
answer, no split, nothing but draws and strings. Both take turns (A B A B); the medians count.

    python benchmarks/spectrum_throughput.py [--megabytes 1] [--rounds 5]
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from functools import partial

from gradatim.corpus.spectrum.generate import LEVELS, documents, generate
from gradatim.corpus.spectrum.words import DAYS, FOODS, NUMBERS, PLACES, THINGS

WORDS = (*DAYS, *FOODS, *NUMBERS, *PLACES, *THINGS)


def random_words(num_bytes: int, line_bytes: int) -> int:
    """Bytes of lines of random words, one generator a line as an item has."""
    made_bytes, index = 0, 0
    while made_bytes < num_bytes:
        draw = random.Random(index).random
        line: list[str] = []
        length = 0
        while length < line_bytes:
            word = WORDS[int(draw() * len(WORDS))]
            line.append(word)
            length += len(word) + 1
        made_bytes += len(" ".join(line) + ".")
        index += 1
    return made_bytes


def level_bytes(level: str, num_bytes: int) -> int:
    return sum(len(item.text) for item in generate(level, "train", seed=0, num_bytes=num_bytes))


def document_bytes(num_bytes: int) -> int:
    return sum(len(document.text) for document in documents(num_bytes, 0))


def rate(make: Callable[[], int]) -> float:
    """Megabytes a second of processor time."""
    start = time.process_time()
    num_bytes = make()
    return num_bytes / 1e6 / (time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--megabytes", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    num_bytes = int(options.megabytes * 1e6)

    print(f"{'':12}{'bytes/item':>12}{'MB/s':>8}{'words MB/s':>12}{'ratio':>8}")
    for name in (*LEVELS, "documents"):
        if name == "documents":
            lengths = [len(document.text) for document in documents(100_000, 0)]
            make = partial(document_bytes, num_bytes)
        else:
            lengths = [
                len(item.text) for item in generate(name, "train", seed=0, num_bytes=100_000)
            ]
            make = partial(level_bytes, name, num_bytes)
        item_bytes = round(statistics.mean(lengths))
        baseline = partial(random_words, num_bytes, item_bytes)
        rates = [(rate(make), rate(baseline)) for _ in range(options.rounds)]
        world, words = (statistics.median(column) for column in zip(*rates, strict=True))
        ratio = statistics.median(one / other for one, other in rates)
        print(f"{name:12}{item_bytes:12d}{world:8.1f}{words:12.1f}{ratio:8.2f}")


if __name__ == "__main__":
    main()
