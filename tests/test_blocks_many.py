"""Ten million blocks: what a run holds in memory before its first step."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "many_blocks.py"
KINDS = ["uniform", "ceiling, budget", "stages"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_ten_million_blocks_need_little_memory_before_the_first_step() -> None:
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), "--blocks", "10_000_000", "--json", "--only", *KINDS],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["curriculum"] for row in rows] == KINDS
    for row in rows:
        print(row)
        assert row["peak"] < 1500
        # 24 bytes a block, so that fifty million of them stay under 1.5 GB too, and 100 MB for all
        assert row["peak"] - row["base"] < 340
        assert row["state"] < 41
