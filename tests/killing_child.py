"""One verb in a process of its own, to be killed: VERB, its spec as JSON, FOLDER.

It says when the work begins, so that kills fall into the work and not into the start of Python.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from gradatim.blocks.build import build
from gradatim.blocks.spec import StoreSpec
from gradatim.blocks.store import Store
from gradatim.corpus import pieces
from gradatim.scoring.engines import LocalEngine
from gradatim.scoring.score import score
from gradatim.scoring.spec import ScoringSpec
from gradatim.study.run import run_study
from gradatim.study.single import run
from gradatim.study.spec import parse_study

PIECE_BYTES = 60_000


def work(verb: str, values: dict[str, Any], folder: Path) -> None:
    """Do it, or go on with it."""
    if verb == "build":
        build(StoreSpec.model_validate(values), folder)
    elif verb == "score":
        pieces.MIN_PIECE_BYTES = PIECE_BYTES
        score(ScoringSpec.model_validate(values), str(folder), engine=LocalEngine(2))
    else:
        study = parse_study(values, where="study")
        store = Store.open(values["store_path"])
        if verb == "study":
            assert run_study(study, store, folder, num_processes=2).failures == ()
        else:
            run(study.runs(store)[-1], folder)


if __name__ == "__main__":
    spec = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    print("begins", flush=True)
    work(sys.argv[1], spec, Path(sys.argv[3]))
