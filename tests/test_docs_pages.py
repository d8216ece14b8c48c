"""The pages that are made from the code say what the code says, and the site builds of them."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gradatim import __version__

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["configuration", "api"])
def test_a_reference_page_is_what_its_script_makes(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "tools")
    page = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    assert page == importlib.import_module(name).page()


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "configuration" / "index.html").is_file()


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == __version__
    assert citation["license"] == "Apache-2.0"
    assert {"message", "title", "abstract", "authors", "type"} <= citation.keys()
