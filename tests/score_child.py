"""Scores in a process of its own, in small pieces: SPEC.json, the folder, "local" or "ray"."""

from __future__ import annotations

import sys
from pathlib import Path

from gradatim.corpus import pieces
from gradatim.scoring.engines import LocalEngine, RayEngine
from gradatim.scoring.score import score
from gradatim.scoring.spec import ScoringSpec

PIECE_BYTES = 60_000

if __name__ == "__main__":
    pieces.MIN_PIECE_BYTES = PIECE_BYTES
    spec = ScoringSpec.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    engine = RayEngine(num_workers=2) if sys.argv[3] == "ray" else LocalEngine(2)
    print("begins", flush=True)
    score(spec, sys.argv[2], engine=engine)
