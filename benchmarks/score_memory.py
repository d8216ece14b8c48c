"""How much memory `gradatim score` takes for a corpus of any size, made on the spot.

    python benchmarks/score_memory.py --gigabytes 5

Texts of a corpus are repeated with a few words of each changed, so that no two documents are the
same, and written as parquet and as JSON lines, half each. A child scores them; the peak of the
resident memory of the child and all its children, and the rate, are printed.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from gradatim.corpus.documents import read_documents

FILE_BYTES = 256 * 2**20
ROW_GROUP_BYTES = 32 * 2**20
POLL_SECONDS = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=5.0)
    parser.add_argument("--texts", default="../shared/data/books.parquet", help="what is repeated")
    parser.add_argument("--folder", help="where the corpus is made; a temporary one by default")
    parser.add_argument("options", nargs="*", help="handed to `gradatim score`, after --")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        corpus = Path(folder) / "corpus"
        began = time.perf_counter()
        num_bytes = make_corpus(corpus, int(arguments.gigabytes * 1e9), arguments.texts)
        print(f"made {num_bytes / 1e9:.2f} GB of text in {time.perf_counter() - began:.0f} s")
        began = time.perf_counter()
        peak_bytes = watched_score(corpus, Path(folder) / "scores", arguments.options)
        seconds = time.perf_counter() - began
        print(f"scored in {seconds:.1f} s with start-up: {num_bytes / seconds / 1e6:.1f} MB/s")
        print(f"peak resident memory of all processes: {peak_bytes / 2**20:.0f} MiB")


def make_corpus(folder: Path, num_bytes: int, texts: str) -> int:
    """Files of about 256 MB, parquet and JSON lines in turn; returns the bytes of text."""
    folder.mkdir()
    documents = made_documents(num_bytes, texts)
    made_bytes = index = 0
    while made_bytes < num_bytes:
        wanted = min(FILE_BYTES, num_bytes - made_bytes)
        write = write_json_lines if index % 2 else write_parquet
        made_bytes += write(folder / f"made-{index:04d}", documents, wanted)
        index += 1
    return made_bytes


def made_documents(num_bytes: int, texts: str) -> Iterator[tuple[str, str]]:
    """Id and text, without end: the texts in slices of 100,000 characters, words changed."""
    draw = random.Random(0)
    slices = [
        document.text[start : start + 100_000]
        for document in read_documents(texts)
        for start in range(0, len(document.text), 100_000)
    ]
    number = 0
    while True:
        words = draw.choice(slices).split(" ")
        for _ in range(len(words) // 50):
            words[draw.randrange(len(words))] = f"{draw.choice(words)}{draw.randrange(1000)}"
        yield f"made-{number}", " ".join(words)
        number += 1


def write_parquet(path: Path, documents: Iterator[tuple[str, str]], num_bytes: int) -> int:
    schema = pa.schema([("id", pa.string()), ("text", pa.large_string())])
    written = 0
    with pq.ParquetWriter(path.with_suffix(".parquet"), schema, compression="zstd") as writer:
        while written < num_bytes:
            rows, group_bytes = [], 0
            while group_bytes < min(ROW_GROUP_BYTES, num_bytes - written):
                rows.append(next(documents))
                group_bytes += len(rows[-1][1].encode())
            columns = [pa.array(column) for column in zip(*rows, strict=True)]
            writer.write_table(pa.table(columns, schema.names).cast(schema))
            written += group_bytes
    return written


def write_json_lines(path: Path, documents: Iterator[tuple[str, str]], num_bytes: int) -> int:
    written = 0
    with path.with_suffix(".jsonl").open("w", encoding="utf-8") as lines:
        while written < num_bytes:
            name, text = next(documents)
            lines.write(json.dumps({"id": name, "text": text}, ensure_ascii=False) + "\n")
            written += len(text.encode())
    return written


def watched_score(corpus: Path, out: Path, options: list[str]) -> int:
    """Scores in a child; returns the highest sum of resident memory seen, in bytes."""
    command = [sys.executable, "-m", "gradatim", "score", str(corpus), "--out", str(out), *options]
    child = psutil.Popen(command)
    peak_bytes = 0
    while child.poll() is None:
        peak_bytes = max(peak_bytes, resident_bytes(child))
        time.sleep(POLL_SECONDS)
    if child.returncode:
        raise SystemExit(child.returncode)
    return peak_bytes


def resident_bytes(process: psutil.Process) -> int:
    total = 0
    try:
        for each in (process, *process.children(recursive=True)):
            total += each.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total


if __name__ == "__main__":
    main()
