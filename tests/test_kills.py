"""Two hundred kills at random moments, and in the end the bytes of an undisturbed run."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from gradatim.blocks.store import Store
from small_corpus import write_corpus

CHILD = Path(__file__).with_name("killing_child.py")
NUM_KILLS = 50  # a verb
MOST_SECONDS = 120.0
# Clocks and what names a process or a machine differ; nothing else may.
NOT_COMPARED = {"lock", ".lock", "timings.jsonl", "segments.jsonl", "study.yaml", "progress.json"}


def start(verb: str, spec_file: Path, folder: Path) -> subprocess.Popen[str]:
    """The child as the leader of its own process group, once its work begins."""
    child = subprocess.Popen(
        [sys.executable, str(CHILD), verb, str(spec_file), str(folder)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert child.stdout is not None
    if child.stdout.readline() != "begins\n":
        pytest.fail(child.communicate()[1])
    return child


def finish(child: subprocess.Popen[str]) -> None:
    _, errors = child.communicate(timeout=MOST_SECONDS)
    assert child.returncode == 0, errors


def content_of(folder: Path) -> dict[str, Any]:
    """Everything that must be the same: bytes of files, tensors by value, no seconds."""
    found: dict[str, Any] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path.name in NOT_COMPARED:
            continue
        name = str(path.relative_to(folder))
        if path.suffix == ".safetensors":
            found[name] = {key: t.numpy().tobytes() for key, t in load_file(path).items()}
        elif path.name in ("store.json", "scores.json"):
            found[name] = without_seconds(json.loads(path.read_text(encoding="utf-8")))
        else:
            found[name] = path.read_bytes()
    return found


def without_seconds(value: Any) -> Any:
    if isinstance(value, dict):
        left_out = {"seconds", "mtime_ns", "changed"}
        return {k: without_seconds(v) for k, v in value.items() if k not in left_out}
    return value


def study_values(store: Store) -> dict[str, Any]:
    return {
        "name": "killed",
        "store_path": str(store.path),
        "rungs": ["10k"],
        "arms": {"ceiling": {"data": {"kind": "ceiling", "easiest_used_fraction": 0.3}}},
        "controls": "none",
        "seeds": 2,
        "sample": "budget",
        "budget": {"tokens": 120_000},
        "batch_blocks": 4,
        "checkpoint_every_fraction": 0.05,
        "evaluation": {"num_points": 4, "num_blocks": 6, "num_tasks": 1, "num_samples": 1},
    }


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("verb", ["train", "study", "build", "score"])
def test_killed_at_fifty_random_moments_it_ends_with_the_same_bytes(
    tmp_path: Path, world_store: Store, verb: str
) -> None:
    corpus = write_corpus(tmp_path / "corpus.jsonl", num_documents=300)
    values: dict[str, Any] = study_values(world_store)
    if verb == "build":
        tokenizer = {"vocab_size": 512}
        values = {"corpus": {"location": str(corpus)}, "tokenizer": tokenizer, "block_tokens": 64}
    elif verb == "score":
        values = {"corpus": str(corpus)}
    spec_file = tmp_path / "spec.json"
    spec_file.write_text(json.dumps(values), encoding="utf-8")

    started = time.monotonic()
    finish(start(verb, spec_file, tmp_path / "undisturbed"))
    seconds = time.monotonic() - started
    expected = content_of(tmp_path / "undisturbed")
    assert expected

    moments = random.Random(verb)
    num_killed = num_ended = 0
    while num_killed < NUM_KILLS:
        folder = tmp_path / f"killed-{num_ended}"
        child = start(verb, spec_file, folder)
        try:
            child.wait(timeout=moments.uniform(0, 0.9) * seconds)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
            num_killed += 1
            continue
        finish(child)
        assert content_of(folder) == expected
        num_ended += 1
    finish(start(verb, spec_file, tmp_path / f"killed-{num_ended}"))
    assert content_of(tmp_path / f"killed-{num_ended}") == expected
    print(f"{verb}: {num_killed} kills over {num_ended + 1} runs of {seconds:.1f} s")
