"""Building a block store against bare `tokenizers` batch encoding: same text, same threads.

    python benchmarks/build_throughput.py                  # 50 MB, three pairs
    python benchmarks/build_throughput.py --gigabyte       # one pair over 1 GB, peak memory too
    python benchmarks/build_throughput.py --corpus books.parquet --megabytes 100

The two sides take turns (bare, build, bare, build, ...), each in a process of its own, so that
neither warms the other and peak memory (`resource.getrusage`) is its own. Both use one tokenizer,
trained beforehand and charged to neither. The bare side reads the same plain-text file, cuts it
into pieces of 2000 bytes and encodes them in batches of 1000; only encoding is timed. The build is
timed whole: reading, cutting, deduplicating, encoding, scoring, packing, scoring again, writing.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from tokenizers import Tokenizer

from gradatim.blocks.build import build
from gradatim.blocks.spec import StoreSpec
from gradatim.blocks.tokenizer import train_tokenizer
from gradatim.corpus.documents import read_documents
from gradatim.corpus.spectrum import generate

PIECE_BYTES = 2000
BATCH_PIECES = 1000
SEED_TEXT_BYTES = 4_000_000


def main() -> None:
    """Runs the pairs and prints the table."""
    options = _options()
    if options.side:
        print(json.dumps(SIDES[options.side](Path(options.folder))))
        return
    num_bytes = 1_000_000_000 if options.gigabyte else int(options.megabytes * 1e6)
    num_pairs = options.pairs or (1 if options.gigabyte else 3)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        _write_text(folder / "text.txt", num_bytes, options.corpus)
        _write_tokenizer(folder, options.vocab_size)
        results: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
        for pair in range(num_pairs):
            for side in SIDES:
                results[side].append(_run_side(side, folder))
                print(f"pair {pair + 1}: {_row(side, results[side][-1:])}", flush=True)
    print(f"\n{num_bytes / 1e6:.0f} MB, vocabulary {options.vocab_size}, {num_pairs} pair(s)\n")
    print("| side | seconds | CPU seconds | MB/s | tokens/s | peak MB |\n|---|---|---|---|---|---|")
    for side, runs in results.items():
        print(_row(side, runs))
    for bare in ("encode_batch", "encode_batch_fast"):
        ratios = [
            one["seconds"] / two["seconds"]
            for one, two in zip(results[bare], results["build"], strict=True)
        ]
        print(f"\nbuild / {bare}: {median(ratios):.2f} of its throughput", end="")
        print(f" (pairs: {', '.join(f'{ratio:.2f}' for ratio in ratios)})", end="")
    print("\nOn a machine that does other work too, compare the CPU seconds.")


def _bare(folder: Path, method: str) -> dict[str, float]:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    encode = getattr(tokenizer, method)
    seconds = cpu_seconds = 0.0
    num_tokens = 0
    pieces = _pieces(folder / "text.txt")
    while texts := list(islice(pieces, BATCH_PIECES)):
        began, cpu_began = time.perf_counter(), time.process_time()
        encodings = encode(texts)
        seconds += time.perf_counter() - began
        cpu_seconds += time.process_time() - cpu_began
        num_tokens += sum(map(len, encodings))
    return _measured(folder, seconds, cpu_seconds, num_tokens)


def _build(folder: Path) -> dict[str, float]:
    spec = StoreSpec.model_validate(
        {
            "corpus": str(folder / "text.txt"),
            "tokenizer": {"file": str(folder / "tokenizer.json")},
            "held_out_fraction": 0.05,
        }
    )
    with tempfile.TemporaryDirectory(dir=folder) as name:
        began, cpu_began = time.perf_counter(), time.process_time()
        store = build(spec, Path(name) / "store")
        seconds = time.perf_counter() - began
        cpu_seconds = time.process_time() - cpu_began
        return _measured(folder, seconds, cpu_seconds, store.report["num_tokens"])


SIDES = {
    "encode_batch": lambda folder: _bare(folder, "encode_batch"),
    "encode_batch_fast": lambda folder: _bare(folder, "encode_batch_fast"),
    "build": _build,
}


def _measured(
    folder: Path, seconds: float, cpu_seconds: float, num_tokens: int
) -> dict[str, float]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # kilobytes on Linux
    megabytes = (folder / "text.txt").stat().st_size / 1e6
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "megabytes_per_second": megabytes / seconds,
        "tokens_per_second": num_tokens / seconds,
        "peak_megabytes": peak / 1e6,
    }


def _run_side(side: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--side", side, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr}")
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _row(side: str, runs: list[dict[str, float]]) -> str:
    seconds, cpu, rate, tokens, peak = (median(run[key] for run in runs) for key in runs[0])
    return f"| {side} | {seconds:.1f} | {cpu:.1f} | {rate:.2f} | {tokens:,.0f} | {peak:.0f} |"


def _pieces(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def _write_text(path: Path, num_bytes: int, corpus: str | None) -> None:
    """Seed paragraphs again and again in random order, each time slightly another."""
    documents = (
        read_documents(corpus) if corpus else generate.documents(SEED_TEXT_BYTES // 4, seed=0)
    )
    paragraphs = [part for document in documents for part in document.text.split("\n\n")]
    draw = random.Random(0)
    written = 0
    with path.open("w", encoding="utf-8") as file:
        while written < num_bytes:
            words = draw.choice(paragraphs).split(" ")
            place = draw.randrange(len(words))
            words[place] = draw.choice(words) + str(draw.randrange(1000))
            text = " ".join(words) + "\n\n"
            file.write(text)
            written += len(text.encode())


def _write_tokenizer(folder: Path, vocab_size: int) -> None:
    with (folder / "text.txt").open(encoding="utf-8") as file:
        sample = file.read(SEED_TEXT_BYTES).split("\n\n")
    train_tokenizer(sample, vocab_size).save(str(folder / "tokenizer.json"))


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=float, default=50.0)
    parser.add_argument("--gigabyte", action="store_true", help="1 GB, one pair")
    parser.add_argument("--pairs", type=int, default=None)
    parser.add_argument("--vocab-size", type=int, default=4096)
    parser.add_argument("--corpus", help="seed text; by default the graded world")
    parser.add_argument("--folder", help="where temporary files go")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
