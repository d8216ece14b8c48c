"""A run needs torch, numpy, pydantic, tokenizers, safetensors, PyYAML and pyarrow, no more.

So it starts fast and fits machines on which tables and compilers of kernels are not installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gradatim.blocks.store import Store
from gradatim.record.read import Record
from gradatim.record.spec import write_spec
from gradatim.study.spec import parse_study

PROGRAM = """
import importlib.abc, sys
from pathlib import Path

NEEDED = {
    "torch", "torchgen", "numpy", "pydantic", "pydantic_core", "annotated_types", "yaml", "_yaml",
    "typing_inspection", "typing_extensions", "tokenizers", "safetensors", "pyarrow", "gradatim",
}  # with what these need themselves

class Nothing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in NEEDED or top in sys.stdlib_module_names:
            return None
        if top.startswith("__editable__") or top.startswith("_sysconfigdata"):
            return None
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

for name in [n for n in sys.modules if n.partition(".")[0] in {"polars", "numba"}]:
    del sys.modules[name]
sys.meta_path.insert(0, Nothing())

from gradatim.record.spec import read_spec
from gradatim.study.single import run

spec = read_spec(Path(sys.argv[1]))
record = run(spec, Path(sys.argv[2]))
print(record.finish["matches_plan"], record.finish["final_bits_per_byte"])
"""


def specification(store: Store) -> Any:
    values = {
        "name": "small",
        "store_path": str(store.path),
        "rungs": ["10k"],
        "arms": {"ceiling": {"data": {"kind": "ceiling"}}},
        "seeds": 1,
        "budget": {"tokens": 6_000},
        "batch_blocks": 4,
        "evaluation": {"num_points": 2, "num_blocks": 6, "num_tasks": 1, "num_samples": 1},
    }
    return parse_study(values, where="test").runs(store)[1]


def test_a_run_takes_place_without_any_other_library(tmp_path: Path, world_store: Store) -> None:
    write_spec(tmp_path / "asked", specification(world_store))
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "asked"), str(tmp_path / "run")]
    found = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        check=False, timeout=150,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    finish = Record.read(tmp_path / "run").finish
    assert finish is not None
    assert found.stdout.split() == ["True", str(finish["final_bits_per_byte"])]


@pytest.mark.parametrize("library", ["polars", "numba"])
def test_the_guard_would_be_heard(library: str) -> None:
    program = PROGRAM.partition("from gradatim")[0] + f"import {library}"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert f"No module named '{library}'" in found.stderr
