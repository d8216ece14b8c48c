"""The application that commands register with, its entry point, and how results are printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from gradatim import __version__
from gradatim.errors import GradatimError

app = typer.Typer(
    name="gradatim",
    help="Pretrain language models under a curriculum, at equal compute, and see what it bought.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

errors_console = Console(stderr=True)

# Typer brings its own click or uses the installed one, by version: ask it for the class.
_UsageError: Any = typer.BadParameter.__base__


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Entry point: expected failures become one line and an exit code."""
    debug = "--debug" in sys.argv
    try:
        code = app(standalone_mode=False)
    except _UsageError as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        errors_console.print("stopped; the same command goes on where it was", markup=False)
        sys.exit(130)
    except GradatimError as error:
        if debug:
            raise
        errors_console.print(f"gradatim: {error}", markup=False, style="red", soft_wrap=True)
        sys.exit(error.exit_code)
    sys.exit(code or 0)


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=1, allow_nan=False))


def print_table(columns: tuple[str, ...], rows: Sequence[Sequence[str]]) -> None:
    """A table whose cells are never cut: wider than the terminal rather than wrong."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for index, column in enumerate(columns):
        is_number = all(row[index][:1].isdigit() for row in rows)
        table.add_column(column, justify="right" if is_number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    Console(width=max(80, 4 + sum(_column_widths(columns, rows)))).print(table)


def _column_widths(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(row[index]) for row in [columns, *rows]) + 2 for index in range(len(columns))]


def print_pairs(title: str, values: dict[str, Any]) -> None:
    typer.echo(title)
    for key, value in values.items():
        typer.echo(f"  {key}: {short(value)}")


def short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
