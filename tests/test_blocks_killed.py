"""Real kills: a build is ended by SIGKILL at random moments, and called again."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gradatim.blocks.build import build
from gradatim.blocks.journal import building_folder
from gradatim.blocks.spec import StoreSpec
from gradatim.blocks.store import Store
from gradatim.errors import StoreError
from small_corpus import write_corpus

NUM_KILLS = 5


def start(spec_file: Path, path: Path) -> subprocess.Popen[str]:
    """A building process that has done its imports."""
    child = Path(__file__).with_name("blocks_child.py")
    process = subprocess.Popen(
        [sys.executable, str(child), str(spec_file), str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begins\n"
    return process


def test_a_build_killed_again_and_again_ends_in_the_same_bytes(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "books.jsonl", num_documents=150, document_bytes=6000)
    spec = StoreSpec.model_validate(
        {"corpus": str(corpus), "tokenizer": {"vocab_size": 600}, "block_tokens": 64}
    )
    spec_file = tmp_path / "spec.json"
    spec_file.write_text(spec.model_dump_json())

    began = time.perf_counter()
    process = start(spec_file, tmp_path / "undisturbed")
    process.communicate()
    assert process.returncode == 0
    undisturbed_seconds = time.perf_counter() - began

    killed = tmp_path / "killed"
    draw = random.Random(1)
    num_killed = 0
    for _ in range(NUM_KILLS):
        process = start(spec_file, killed)
        try:
            process.wait(timeout=draw.uniform(0.0, 0.6) * undisturbed_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
        num_killed += process.returncode == -signal.SIGKILL
        if killed.exists():
            Store.open(killed).verify()
        else:
            with pytest.raises(StoreError, match="this is no block store"):
                Store.open(killed)
    assert num_killed >= 1

    store = build(spec, killed)
    store.verify()
    assert not building_folder(killed).exists()
    for name in ("tokens.bin", "blocks.parquet", "tokenizer.json"):
        undisturbed = (tmp_path / "undisturbed" / name).read_bytes()
        assert (killed / name).read_bytes() == undisturbed, name
    descriptions = [
        json.loads((tmp_path / name / "store.json").read_text())
        for name in ("undisturbed", "killed")
    ]
    for description in descriptions:
        del description["report"]["seconds"], description["checksum"]
    assert descriptions[0] == descriptions[1]


@pytest.mark.parametrize("leftover", ["tokens.bin", "store.json"])
def test_half_a_store_in_the_building_folder_is_not_taken_for_a_whole_one(
    tmp_path: Path, leftover: str
) -> None:
    corpus = write_corpus(tmp_path / "books.jsonl", num_documents=40)
    spec = StoreSpec.model_validate(
        {"corpus": str(corpus), "tokenizer": {"vocab_size": 300}, "block_tokens": 32}
    )
    half = building_folder(tmp_path / "store") / "store"
    half.mkdir(parents=True)
    (half / leftover).write_bytes(b"\x01\x02")
    store = build(spec, tmp_path / "store")
    store.verify()
    assert len(store.ids("train")) > 0
