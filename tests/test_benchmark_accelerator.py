"""The half of the accelerator's benchmark that needs none: every check of correctness."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "accelerator.py"


def test_every_check_passes_on_a_processor(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, str(SCRIPT), "--correctness-only", "--json", str(tmp_path / "a.json")],
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    checks = json.loads((tmp_path / "a.json").read_text())["correctness"]
    assert len(checks) == 6
    assert all(check["ok"] for check in checks.values())
    assert checks["stopped and gone on"]["same_bits"]
