"""What a terminal is sent: codes in texts and names are shown, not obeyed; markup is text."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from gradatim.blocks.store import Store
from gradatim.cli.app import Terminal, print_pairs, print_table, printable, say
from small_corpus import prose

TITLE = "\x1b]0;owned\x07"
"""Sets a terminal's title, which no program of ours does."""
CODES = f"{TITLE}\x9b31m\u202e\r\b[/bold][red]"
SHOWN = r"\x1b]0;owned"


def on_a_terminal(*arguments: str) -> str:
    """What a real terminal gets from a command, both streams together."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "gradatim", *arguments]
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "250", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment):
        os.close(theirs)
        received = b""
        while True:
            try:
                received += os.read(ours, 2**16)
            except OSError:  # the program has ended
                break
    os.close(ours)
    text = received.decode("utf-8", "surrogateescape")
    assert TITLE not in text
    assert not {"\x9b", "\u202e", "\b"} & set(text)
    return text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ünïcode 読む \u200d\u3000", "plain, ünïcode 読む \u200d\u3000"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\nb\tc\x7f", r"a\nb\tc\x7f"),
        ("\x85\u2028\u202e\udc80", r"\x85\u2028\u202e\udc80"),
    ],
)
def test_only_what_a_terminal_obeys_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_every_way_of_printing_shows_codes(capsys: pytest.CaptureFixture[str]) -> None:
    say(CODES)
    print_pairs(CODES, {CODES: CODES})
    print_table(("name", "value"), [(CODES, "1"), (CODES, "2")])
    Terminal(width=200).print(CODES, markup=False)
    text = capsys.readouterr().out
    assert text.count(SHOWN) == 7
    assert text.count("[/bold][red]") == 7
    assert text.replace("\n", "").isprintable()
    lines = text.splitlines()
    assert lines[-4].rindex("1") == lines[-3].rindex("2")


def test_a_terminal_keeps_its_own_colours() -> None:
    plain, ours = (
        kind(force_terminal=True, color_system="standard", width=60) for kind in (Console, Terminal)
    )
    for console in (plain, ours):
        with console.capture() as captured:
            console.print("text", style="red")
        assert captured.get() == "\x1b[31mtext\x1b[0m\n"


def test_codes_in_a_corpus_do_not_run(tmp_path: Path) -> None:
    corpus = tmp_path / "books.jsonl"
    with corpus.open("w", encoding="utf-8") as lines:
        for index in range(30):
            row = {"id": f"{CODES}{index}", "level": f"{CODES}{index % 3}", "source": CODES}
            lines.write(json.dumps(row | {"text": CODES + prose(index, 1500)}) + "\n")
    store, run = str(tmp_path / "store"), str(tmp_path / "run")
    on_a_terminal(
        "build", str(corpus), "--out", store, "--level-column", "level", "--vocab-size", "300",
        "--block-tokens", "64",
    )  # fmt: skip
    on_a_terminal("train", store, "--rung", "10k", "--tokens", "2000", "--batch-blocks", "4",
                  "--out", run)  # fmt: skip
    assert SHOWN in on_a_terminal("explain", run, "--step", "1")
    assert SHOWN in on_a_terminal("evaluate", run)


def test_codes_and_markup_in_the_name_of_an_arm_do_not_run(
    world_store: Store, tmp_path: Path
) -> None:
    study: dict[str, Any] = {
        "name": "hostile",
        "store_path": str(world_store.path),
        "rungs": ["10k"],
        "arms": {"uniform": {}, CODES: {"data": {"kind": "ceiling"}}},
        "controls": "none",
        "seeds": 2,
        "budget": {"tokens": 4_000},
        "batch_blocks": 4,
        "evaluation": {"num_points": 1, "num_blocks": 6, "num_samples": 1},
    }
    path, out = tmp_path / "study.yaml", str(tmp_path / "out")
    path.write_text(yaml.safe_dump(study), encoding="utf-8")
    assert SHOWN in on_a_terminal("plan", str(path))
    text = on_a_terminal("study", str(path), "--out", out)
    assert "4 runs finished, 0 failed" in text
    assert SHOWN in text
    assert SHOWN in on_a_terminal("compare", out)
    assert on_a_terminal("fit", out)
    on_a_terminal("report", out)
    assert SHOWN in on_a_terminal("check", f"/nowhere/{CODES}")
