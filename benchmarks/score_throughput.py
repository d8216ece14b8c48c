"""How fast texts are scored on one core, beside textstat, in one run.

    NLTK_DATA=FOLDER python benchmarks/score_throughput.py books.parquet [--rounds 5]

Passages of about 1,500 bytes. Each row is measured in processor time of one thread, in turns with
the others, and the best round counts: what else the machine does can only slow a round down.
textstat remembers words and texts it has seen; its memory is emptied before each round.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import textstat

from gradatim.corpus.documents import read_documents
from gradatim.corpus.passages import cut
from gradatim.difficulty.counts import count_batch
from gradatim.difficulty.surface import DEFAULT_METRICS, SurfaceMetrics, surface_columns
from gradatim.difficulty.vocabulary import corpus_rarity, count_words

TEXTSTAT_BYTES, SLOW_BYTES, PASSAGE_BYTES = 400_000, 2_000_000, 1500


def passages(path: Path) -> list[str]:
    documents = read_documents(path)
    return [
        passage.text
        for document in documents
        for passage in cut(document, max_bytes=PASSAGE_BYTES, min_bytes=PASSAGE_BYTES // 4)
    ]


def some(texts: list[str], num_bytes: int) -> list[str]:
    """Texts from all over the corpus, about so many bytes."""
    total = sum(len(text.encode()) for text in texts)
    return texts[:: max(1, total // num_bytes)]


def textstat_function(name: str, texts: list[str]) -> Callable[[], object]:
    function = getattr(textstat, name)

    def run() -> None:
        _forget()
        for text in texts:
            function(text)

    return run


def _forget() -> None:
    """Empty the memory of all of textstat's functions."""
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("textstat.backend"):
            for value in vars(module).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


def rows(texts: list[str]) -> dict[str, tuple[float, Callable[[], object]]]:
    """Name → megabytes, and what is timed."""
    everything, few, fewer = (
        pa.array(chosen, pa.large_string())
        for chosen in (texts, some(texts, SLOW_BYTES), some(texts, TEXTSTAT_BYTES))
    )

    def surface(column: pa.Array, *names: str) -> tuple[float, Callable[[], object]]:
        metrics = SurfaceMetrics(names=names)
        return _megabytes(column), lambda: surface_columns(column, metrics)

    words, counts = count_words(few)
    theirs = {
        f"textstat.{name}": (_megabytes(fewer), textstat_function(name, fewer.to_pylist()))
        for name in ("flesch_kincaid_grade", "smog_index", "dale_chall_readability_score")
    }
    return {
        "all surface metrics": surface(everything, *DEFAULT_METRICS),
        "… the counts alone": (_megabytes(everything), lambda: count_batch(everything)),
        "reading_age": surface(everything, "reading_age", "reading_age_sd"),
        "flesch_kincaid_grade": surface(everything, "flesch_kincaid_grade"),
        "all surface metrics and zstd_ratio": surface(few, *DEFAULT_METRICS, "zstd_ratio"),
        "all surface metrics and zlib_ratio": surface(few, *DEFAULT_METRICS, "zlib_ratio"),
        "corpus_rarity, counting and scoring": (
            _megabytes(few),
            lambda: (count_words(few), corpus_rarity(few, words, counts, int(counts.sum()))),
        ),
        **theirs,
    }


def _megabytes(column: pa.Array) -> float:
    return sum(len(text.encode()) for text in column.to_pylist()) / 1e6


def start_up_seconds(rounds: int) -> float:
    """From the start of a process to the first score, compiled code at hand."""
    code = (
        "import pyarrow as pa; from gradatim.difficulty.surface import *; "
        "surface_columns(pa.array(['The cat sat.'], pa.large_string()), SurfaceMetrics())"
    )
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.perf_counter() - begin)
    return min(times)


def command_seconds(rounds: int) -> float:
    """The whole of `gradatim score` for a corpus of one sentence."""
    times = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            text = Path(folder) / "one.txt"
            text.write_text("The cat sat on the mat.", encoding="utf-8")
            command = ["score", str(text), "--out", str(Path(folder) / "scores"), "--json"]
            begin = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "gradatim", *command], check=True, capture_output=True
            )
            times.append(time.perf_counter() - begin)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("books", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    timed = rows(passages(arguments.books))
    best = dict.fromkeys(timed, float("inf"))
    for number in range(arguments.rounds + 1):  # the first is a warm-up
        for name, (_, function) in timed.items():
            begin = time.thread_time()
            function()
            if number:
                best[name] = min(best[name], time.thread_time() - begin)
    rates = {name: timed[name][0] / seconds for name, seconds in best.items()}
    theirs = rates["textstat.flesch_kincaid_grade"]
    print("| what | MB/s, one core | times textstat's Flesch–Kincaid |")
    print("| --- | --- | --- |")
    for name, rate in rates.items():
        print(f"| {name} | {rate:.3g} | {rate / theirs:.3g} |")
    print(f"\nFirst score {start_up_seconds(arguments.rounds):.1f} s after the process started")
    print(f"gradatim score of one sentence: {command_seconds(arguments.rounds):.1f} s")


if __name__ == "__main__":
    main()
