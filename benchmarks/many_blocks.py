"""Memory and time between the start of a run and its first step, for a store of many blocks.

    python benchmarks/many_blocks.py --blocks 50_000_000

For each curriculum a process of its own does what a run does before it trains: it opens the store,
chooses the held-out set, hashes what the recipe reads, makes the curriculum and draws. The tokens
are a hole in a file, the table is a real one, of 24 bytes a block. Columns:

    open      seconds of `Store.open`
    held_out  seconds to choose 200 blocks to evaluate on
    hash      seconds of `identity.table_fingerprint`, which reads what the curriculum will read
    order     seconds from the table to a curriculum and 1,024 blocks drawn from it
    state     MB of the curriculum in a checkpoint
    peak      MB the process ever held, Python and torch (`base`) among them
    replay    the same after a second curriculum was made, as when a run has ended

and of a curriculum that reads losses, once all losses are known:

    batch     processor milliseconds to draw 1,024 blocks and observe their losses
    border    processor seconds of the draw that begins a focus, which ranks all blocks
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import gradatim.train.run as _  # noqa: F401  what a run has imported
from gradatim.blocks.store import Store
from gradatim.evaluate.bits_per_byte import held_out_set
from gradatim.timelines.data.ceiling import Ceiling
from gradatim.timelines.data.door import BlockIds, Curriculum
from gradatim.timelines.data.kinds import DataTimeline, make_curriculum
from gradatim.timelines.data.phases import Phases
from gradatim.timelines.data.stages import Stages
from gradatim.timelines.data.uniform import Uniform
from gradatim.train.identity import table_fingerprint
from gradatim.train.order import block_table
from random_store import LEVELS, store_of_zeros

BLOCK_TOKENS = 1024
STAGES = [
    {"until": 0.5, "weights": dict.fromkeys(LEVELS, 2.0) | {"a": 3.0}},
    {"until": 1.0, "weights": dict.fromkeys(LEVELS, 2.0)},
]
LEARN_SHARE = 0.002  # soon over; the losses of all blocks are told before it is


def phases(rank_by: str, **settings: Any) -> Phases:
    """A short learning phase, then a focus on half of the blocks."""
    focus = {"kind": "focus", "share": 1 - LEARN_SHARE, "drop": 0.5, "rank_by": rank_by}
    listed = [{"kind": "learn", "share": LEARN_SHARE}, focus]
    return Phases.model_validate({"phases": listed, **settings})


CURRICULA: dict[str, DataTimeline] = {
    "uniform": Uniform(),
    "uniform, budget": Uniform(sample="budget"),
    "ceiling": Ceiling(),
    "ceiling, share": Ceiling(scale="share"),
    "ceiling, shuffled": Ceiling(control="shuffled"),
    "ceiling, reversed": Ceiling(control="reversed"),
    "ceiling, budget": Ceiling(sample="budget"),
    "stages": Stages.model_validate({"stages": STAGES}),
    "stages, shuffled": Stages.model_validate({"stages": STAGES, "control": "shuffled"}),
    "phases": phases("last"),
    "phases, mean": phases("mean"),
    "phases, rise": phases("rise"),
    "phases, random": phases("last", control="random"),
    "phases, by source": phases("last", within="source"),
    "stages, budget": Stages.model_validate({"stages": STAGES, "sample": "budget"}),
}


def peak_mb() -> float:
    """The most memory this process had; what it was before `exec` is left out."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line) / 1000


def measured(path: Path, name: str, *, replays: bool) -> dict[str, Any]:
    """One row, of this process."""
    row: dict[str, Any] = {"curriculum": name, "base": peak_mb()}
    spec, began = CURRICULA[name], time.perf_counter()

    def lap(of: str) -> None:
        nonlocal began
        now = time.perf_counter()
        row[of], began = now - began, now

    store = Store.open(path)
    lap("open")
    held_out_set(store, num_blocks=200, num_bands=4)
    lap("held_out")
    table = block_table(store)
    table_fingerprint(table, spec)
    lap("hash")
    num_draws = len(table) - len(table) // 8  # with `budget`, nearly all blocks are in the sample
    curriculum = make_curriculum(spec, table, num_draws=num_draws, seed=0)
    drawn = [curriculum.draw(step / 64 / 1000, 16) for step in range(64)]
    assert len(np.unique(drawn)) == 1024
    lap("order")
    if spec.reads_losses:
        row |= measured_phases(curriculum, table.ids, num_draws)
    row["peak"] = peak_mb()
    row["state"] = state_bytes(curriculum.state()) / 1e6
    if replays:
        curriculum.draw(1.0, 1)
        make_curriculum(spec, table, num_draws=num_draws, seed=0).draw(1.0, 1)
        row["replay"] = peak_mb()
    return row


def measured_phases(curriculum: Curriculum, ids: BlockIds, num_draws: int) -> dict[str, float]:
    """Milliseconds of a batch of 1,024, the median of 50, and seconds of the first ranking."""
    random = np.random.default_rng(0)
    for start in range(0, len(ids), 1 << 20):
        part = ids[start : start + (1 << 20)]
        curriculum.observe(part, random.gamma(4, 1, len(part)).astype(np.float32))
    losses, laps = random.gamma(4, 1, 1024).astype(np.float32), []
    for _batch in range(50):
        began = time.process_time()
        curriculum.observe(curriculum.draw(0.0, 1024), losses)
        laps.append(time.process_time() - began)
    curriculum.draw(0.0, round(LEARN_SHARE * num_draws) - 51 * 1024)
    began = time.process_time()
    curriculum.draw(LEARN_SHARE, 1)
    return {"batch": 1000 * float(np.median(laps)), "border": time.process_time() - began}


def state_bytes(state: Any) -> int:
    if isinstance(state, dict):
        return sum(map(state_bytes, state.values()))
    if isinstance(state, list):
        return sum(map(state_bytes, state))
    return int(np.asarray(state).nbytes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--blocks", type=int, default=50_000_000)
    parser.add_argument("--only", nargs="+", choices=list(CURRICULA), default=list(CURRICULA))
    parser.add_argument("--replay", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--store", type=Path, help="measure here, of one curriculum")
    arguments = parser.parse_args()
    if arguments.store:
        for name in arguments.only:
            print(json.dumps(measured(arguments.store, name, replays=arguments.replay)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        store_of_zeros(path, num_blocks=arguments.blocks, block_tokens=BLOCK_TOKENS)
        more = ["--replay"] if arguments.replay else []
        for name in arguments.only:
            command = [sys.executable, __file__, "--store", str(path), "--only", name, *more]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
            row = json.loads(done.stdout)
            units = {"curriculum": "", "open": "s", "held_out": "s", "hash": "s", "order": "s"}
            units |= {"batch": "ms", "border": "s"}
            shown = [
                f"{key} {value:,.1f} {units.get(key, 'MB')}"
                for key, value in row.items()
                if key != "curriculum"
            ]
            print(done.stdout.strip() if arguments.json else f"{name:18} {'  '.join(shown)}")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
