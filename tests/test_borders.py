"""The table of who may import whom, held by walking the syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "gradatim"

EVERYTHING = {
    "errors", "files", "cores", "numba_cache", "progress", "streams", "settings", "changes",
    "compute", "corpus", "difficulty", "scoring", "blocks", "timelines", "recipe", "clock",
    "record", "model", "train", "evaluate", "study", "recipes", "law", "report", "adapters",
    "verbs", "cli",
}  # fmt: skip

MAY_IMPORT: dict[str, set[str]] = {
    "__init__": set(),
    "__main__": {"cli"},
    "errors": set(),
    "files": {"errors"},
    "cores": set(),
    "numba_cache": set(),
    "progress": set(),
    "streams": set(),
    "settings": {"errors"},
    "changes": {"errors", "settings"},
    "compute": {"errors", "files"},
    "corpus": {"errors", "files", "numba_cache"},
    "difficulty": {"errors", "files", "numba_cache", "corpus"},
    "scoring": {"errors", "files", "cores", "corpus", "difficulty"},
    "blocks": {"errors", "files", "numba_cache", "corpus", "difficulty"},
    "timelines": {"errors", "files", "streams", "settings", "compute"},
    "recipe": {"errors", "files", "settings", "compute", "timelines"},
    "clock": {"errors", "files", "recipe", "compute"},
    "record": {"errors", "files", "recipe", "clock", "compute"},
    "law": {"errors", "files", "record", "recipe", "compute"},
    "report": {"errors", "files", "law", "record", "recipe", "compute", "scoring"},
    "adapters": {"errors", "files", "recipe", "clock", "timelines", "blocks"},
    "model": {"errors", "files", "streams", "compute"},
    "train": {
        "errors",
        "files",
        "model",
        "streams",
        "timelines",
        "blocks",
        "recipe",
        "clock",
        "compute",
        "record",
    },
    "evaluate": {"errors", "files", "compute", "difficulty", "model", "blocks", "corpus"},
    "study": EVERYTHING - {"recipes", "law", "report", "adapters", "verbs", "cli"},
    "recipes": {"errors", "settings", "blocks", "compute", "record", "study"},
    "verbs": EVERYTHING - {"adapters", "cli"},
    "cli": EVERYTHING - {"adapters"},
}

MAY_IMPORT_TORCH = {"model", "train", "evaluate", "study", "adapters", "verbs", "cli"}

MAY_IMPORT_INSIDE_FUNCTIONS = {"cli", "verbs"}
OPTIONAL_EXTRAS = {"datasets", "transformers", "lm_eval", "openai", "ray", "wandb"}


def station_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything a tree imports, type checking included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            assert node.module is not None
            if node.module == "gradatim":
                yield from ((node.lineno, f"gradatim.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, node.module


def broken_borders(path: Path, source: str) -> list[str]:
    station = station_of(path)
    assert station in MAY_IMPORT, f"{station} has no row in the table"
    found = []
    for line, name in imports(ast.parse(source)):
        top, _, rest = name.partition(".")
        if top == "torch" and station not in MAY_IMPORT_TORCH:
            found.append(f"{path.name}:{line} {station} imports torch")
        if top == "gradatim":
            target = rest.partition(".")[0]
            allowed = MAY_IMPORT[station] | {station, "__version__"}
            if target not in allowed:
                found.append(f"{path.name}:{line} {station} imports {target}")
    return found


def hidden_imports(path: Path, source: str) -> list[str]:
    if station_of(path) in MAY_IMPORT_INSIDE_FUNCTIONS:
        return []
    return [
        f"{path.name}:{line} {name}"
        for function in ast.walk(ast.parse(source))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for line, name in imports(function)
        if name.partition(".")[0] not in OPTIONAL_EXTRAS
    ]


FILES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_imports_only_what_its_station_may(path: Path) -> None:
    assert broken_borders(path, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_import_hides_inside_a_function(path: Path) -> None:
    assert hidden_imports(path, path.read_text(encoding="utf-8")) == []


def test_the_table_has_no_cycle() -> None:
    remaining = {name: targets - {name} for name, targets in MAY_IMPORT.items()}
    while remaining:
        free = [name for name, targets in remaining.items() if not targets & remaining.keys()]
        assert free, f"a cycle among {sorted(remaining)}"
        for name in free:
            del remaining[name]


def test_a_crossed_border_is_seen() -> None:
    law = SOURCE / "law" / "crossing.py"
    assert broken_borders(law, "from gradatim.model.network import Network\n") == [
        "crossing.py:1 law imports model"
    ]
    assert broken_borders(law, "import torch\n") == ["crossing.py:1 law imports torch"]
    hidden = "def look():\n    from gradatim.record import Record\n"
    assert hidden_imports(law, hidden) == ["crossing.py:2 gradatim.record"]
