"""How far work is: a line now and then in a log, bars on a terminal, nothing without a console."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from gradatim.progress import stage_progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_a_log_gets_a_line_now_and_then(clock: list[float]) -> None:
    text = io.StringIO()
    with stage_progress(Console(file=text, width=200)) as on_progress:
        for seconds, stage, done, total in [
            (0, "reading", 4_000_000, 64_000_000),  # four of them an earlier call's
            (6, "reading", 10_000_000, 64_000_000),
            (12, "reading", 16_000_000, 64_000_000),
            (13, "reading", 64_000_000, 64_000_000),
            (14, "cutting", 0, 0),
            (30, "cutting", 8_000_000, 0),
        ]:
            clock[0] = seconds
            on_progress(stage, done, total)
    assert text.getvalue().splitlines() == [
        "reading: 16.0 MB of 64.0 MB, 1.0 MB a second, about 0.8 minutes to go",
        "cutting: 8.0 MB, 0.5 MB a second",
    ]


def test_blocks_are_counted_as_such_and_a_stage_that_stands_still_has_no_rate(
    clock: list[float],
) -> None:
    text = io.StringIO()
    with stage_progress(Console(file=text, width=200), "blocks") as on_progress:
        on_progress("scoring", 2000, 5000)
        clock[0] = 11
        on_progress("scoring", 2000, 5000)
    assert text.getvalue() == "scoring: 2,000 blocks of 5,000 blocks\n"


def test_a_stage_of_a_moment_tells_of_no_rate(clock: list[float]) -> None:
    text = io.StringIO()
    with stage_progress(Console(file=text, force_terminal=True, width=100)) as on_progress:
        on_progress("scoring", 0, 1_000_000)
        clock[0] = 1.0
        on_progress("scoring", 900_000, 1_000_000)
        assert "a second" not in text.getvalue()
        clock[0] = 3.0
        on_progress("scoring", 990_000, 1_000_000)
    assert "0.3 MB a second" in text.getvalue()


def test_a_terminal_gets_a_bar_and_nothing_else_is_left_of_it() -> None:
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=100)
    with stage_progress(console, "blocks") as on_progress:
        on_progress("scoring", 10, 40)
        on_progress("scoring", 30, 40)
    assert "scoring" in text.getvalue()
    assert "75%" in text.getvalue()
    assert "to go" not in text.getvalue()


def test_without_a_console_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with stage_progress(None) as on_progress:
        on_progress("reading", 1, 2)
    assert capsys.readouterr() == ("", "")
