"""The `build` command: what options mean alone and beside a file of settings, what it prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from gradatim.blocks.store import Store
from gradatim.cli import app
from small_corpus import write_corpus


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "books.jsonl")


@pytest.fixture
def settings_file(corpus: Path, tmp_path: Path) -> Path:
    file = tmp_path / "store.yaml"
    settings = {
        "corpus": {"location": str(corpus), "level_column": "level"},
        "tokenizer": {"vocab_size": 400, "sample_bytes": 50_000},
        "block_tokens": 64,
    }
    file.write_text(yaml.safe_dump(settings))
    return file


def built(*arguments: str, out: Path) -> dict[str, Any]:
    """The settings in `store.json` of what a command has built."""
    result = CliRunner().invoke(app, ["build", *arguments, "--out", str(out)])
    assert result.exit_code == 0, result.output
    return Store.open(out).description.settings


def refused(*arguments: str, out: Path) -> str:
    result = CliRunner().invoke(app, ["build", *arguments, "--out", str(out)])
    assert result.exit_code != 0
    assert not out.exists()
    return " ".join((result.output + str(result.exception)).replace("│", " ").split())


def test_options_override_a_file_of_settings_and_the_store_says_so(
    settings_file: Path, tmp_path: Path
) -> None:
    settings = built(
        str(settings_file), "--block-tokens", "32", "--vocab-size", "300", "--seed", "7",
        "--held-out-fraction", "0.1", "--source-column", "id", out=tmp_path / "store",
    )  # fmt: skip
    assert settings["block_tokens"] == 32
    assert settings["seed"] == 7
    assert settings["held_out_fraction"] == 0.1
    assert settings["tokenizer"]["vocab_size"] == 300
    assert settings["tokenizer"]["sample_bytes"] == 50_000
    assert settings["corpus"]["source_column"] == "id"
    assert settings["corpus"]["level_column"] == "level"


def test_a_column_that_is_not_there_is_an_error_beside_a_file_too(
    settings_file: Path, tmp_path: Path
) -> None:
    message = refused(str(settings_file), "--text-column", "nosuch", out=tmp_path / "store")
    assert "no text column; expected nosuch" in message


def test_several_locations_and_a_column_of_sources(corpus: Path, tmp_path: Path) -> None:
    more = write_corpus(tmp_path / "more.jsonl", num_documents=4)
    settings = built(
        str(corpus), str(more), "--source-column", "level", "--vocab-size", "400",
        "--block-tokens", "32", out=tmp_path / "store",
    )  # fmt: skip
    assert settings["corpus"]["location"] == [str(corpus), str(more)]
    store = Store.open(tmp_path / "store")
    assert set(store.labels("source").names) == {"easy", "hard"}
    assert store.report["num_documents"] == 64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["spectrum", "--level-column", "x"], "--level-column has no effect on the graded world"),
        (
            ["spectrum", "--held-out-fraction", "0.1"],
            "--held-out-fraction has no effect on the gra",
        ),
        (["a.yaml", "b.txt"], "a YAML file of settings, or spectrum, stands alone"),
        (["spectrum", "b.txt"], "a YAML file of settings, or spectrum, stands alone"),
        (
            ["b.txt", "--tokenizer", "t.json", "--vocab-size", "4096"],
            "--vocab-size is for training",
        ),
        (["b.txt", "--held-out-fraction", "0"], "greater than 0"),
        (["b.txt", "--seed", "-1"], "greater than or equal to 0"),
        (["b.txt", "--on-bad", "ignore"], "one of stop, skip"),
    ],
)
def test_options_without_effect_are_errors(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    assert message in refused(*arguments, out=tmp_path / "store")


def test_a_trained_vocabulary_is_not_asked_of_a_tokenizer_that_is_given(
    corpus: Path, tmp_path: Path
) -> None:
    file = tmp_path / "store.yaml"
    file.write_text(yaml.safe_dump({"corpus": str(corpus), "tokenizer": {"file": "t.json"}}))
    message = refused(str(file), "--vocab-size", "4096", out=tmp_path / "store")
    assert "--vocab-size has no effect on the tokenizer of the file" in message


def test_what_is_held_out_is_printed_by_source_and_level(corpus: Path, tmp_path: Path) -> None:
    arguments = ["build", str(corpus), "--vocab-size", "400", "--block-tokens", "32"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "store")])
    printed = result.stdout
    for name in ("source", "level", "even", "odd", "easy", "hard", "held-out blocks"):
        assert name in printed
    (even,) = (line.split() for line in printed.splitlines() if line.split()[:1] == ["even"])
    counts = Store.open(tmp_path / "store").report["held_out"]["source"]["even"]
    assert even[1:3] == [f"{counts['bytes']:,}", f"{counts['held_out_bytes']:,}"]
    assert even[-1] == str(counts["held_out_blocks"])
    again = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "store"), "--json"])
    assert json.loads(again.stdout)["held_out"]["source"]["even"] == counts
