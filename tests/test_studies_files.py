"""Every study file of the repository means something."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradatim.study.spec import load_study

STUDIES = sorted((Path(__file__).parents[1] / "studies").glob("*.yaml"))


def test_there_are_study_files() -> None:
    assert STUDIES


@pytest.mark.parametrize("path", STUDIES, ids=[path.stem for path in STUDIES])
def test_every_study_file_is_one(path: Path) -> None:
    spec = load_study(path)
    assert spec.name == path.stem
    assert spec.planned_arms()
    spec.runs_before_store(vocab_size=2048, context_tokens=256)
