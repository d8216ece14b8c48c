"""What several stations' tests start from: a small block store of the graded world."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# Before torch is imported: one test process a core, and none may fork with threads of its own.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

from gradatim.blocks.build import build
from gradatim.blocks.spec import StoreSpec
from gradatim.blocks.store import Store

# A first call compiles kernels, and machines are busy: no test may depend on a clock.
settings.register_profile("no clock", deadline=None)
settings.load_profile("no clock")

SMALL_WORLD = {
    "spectrum": {"num_bytes": 240_000, "num_tasks": 12},
    "tokenizer": {"vocab_size": 512, "sample_bytes": 200_000},
    "block_tokens": 224,
}


@pytest.fixture(scope="session")
def world_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Six levels, three splits, tasks; never written to."""
    folder: Path = tmp_path_factory.mktemp("world") / "store"
    return build(StoreSpec.model_validate(SMALL_WORLD), folder)


@pytest.fixture
def changing_costs_allowed() -> Iterator[None]:
    """Recipes may mean the network that grows and the teacher of `changing_costs`."""
    import changing_costs  # brings torch, which most tests do without

    changing_costs.install()
    yield
    changing_costs.uninstall()
