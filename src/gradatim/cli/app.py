"""The application that commands register with, its entry point, and how results are printed.

What is printed may hold text of a corpus, a model or somebody else's study, so nothing reaches a
terminal but through `printable`: by `say`, the tables, or a `Terminal`.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import warnings
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, NoReturn

import typer
from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from gradatim import __version__
from gradatim.errors import GradatimError, StoppedError, from_os_error, printable


class Terminal(Console):
    """A console on which no text acts, whoever prints it; its own colours and bars do."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The segments of a renderable, their texts printable."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text == "\n":
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)


app = typer.Typer(
    name="gradatim",
    help="Pretrain language models under a curriculum, at equal compute, and see what it bought.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Lay a setting over the file, such as budget.tokens=4e6; may be given again.",
    ),
]

errors_console = Terminal(stderr=True)

_STOPPED = "stopped; the same command goes on where it was"

# Typer brings its own click or uses the installed one, by version: ask it for the class.
_UsageError: Any = typer.BadParameter.__base__


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    pass


def main() -> None:
    """Entry point: expected failures become one line and an exit code."""
    debug = "--debug" in sys.argv
    # Read once, when torch is loaded: threads that wait for work sleep, where by default they burn
    # the processor, which on a busy machine costs them and others several times the work itself.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # one that knows only ASCII, say
            stream.reconfigure(errors="backslashreplace")
    warnings.showwarning = _show_warning
    signal.signal(signal.SIGTERM, _stop)  # training answers it better, by a checkpoint
    try:
        code = app(standalone_mode=False)
    except _UsageError as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        errors_console.print(_STOPPED, markup=False)
        sys.exit(130)
    except (GradatimError, OSError) as error:
        if debug:
            raise
        _fail(error if isinstance(error, GradatimError) else from_os_error(error))
    sys.exit(code or 0)


def _stop(_signal: int, _frame: object) -> NoReturn:
    errors_console.print(_STOPPED, markup=False)
    sys.exit(StoppedError.exit_code)


def _fail(error: GradatimError) -> NoReturn:
    line = printable(f"gradatim: {error}")
    errors_console.print(line, markup=False, highlight=False, style="red", soft_wrap=True)
    sys.exit(error.exit_code)


def _show_warning(message: Warning | str, *_where: object, **_more: object) -> None:
    line = printable(f"gradatim: {message}")
    errors_console.print(line, markup=False, highlight=False, style="yellow", soft_wrap=True)


def say(text: object) -> None:
    """Print a line for people."""
    typer.echo(printable(str(text)))


def print_json(value: Any) -> None:
    """Print JSON, in ASCII."""
    typer.echo(json.dumps(value, indent=1, allow_nan=False))


def print_table(columns: tuple[str, ...], rows: Sequence[Sequence[str]]) -> None:
    """A table whose cells are never cut: wider than the terminal rather than wrong."""
    rows = [[printable(cell) for cell in row] for row in rows]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for index, column in enumerate(columns):
        is_number = all(row[index][:1].isdigit() for row in rows)
        table.add_column(column, justify="right" if is_number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    Terminal(width=max(80, 4 + sum(_column_widths(columns, rows)))).print(table)


def _column_widths(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(row[index]) for row in [columns, *rows]) + 2 for index in range(len(columns))]


def print_pairs(title: str, values: dict[str, Any]) -> None:
    """A title, and below it a line for each value."""
    say(title)
    for key, value in values.items():
        say(f"  {key}: {short(value)}")


def short(value: Any) -> str:
    """A value in a few characters."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
