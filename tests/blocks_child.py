"""Builds a store in a process of its own, to be killed: SPEC.json, then the store's path."""

from __future__ import annotations

import sys
from pathlib import Path

from gradatim.blocks.build import build
from gradatim.blocks.spec import StoreSpec

if __name__ == "__main__":
    spec = StoreSpec.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print("begins", flush=True)
    build(spec, sys.argv[2])
