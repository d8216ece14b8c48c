"""The command that builds a block store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from gradatim import verbs
from gradatim.cli.app import AsJson, app, errors_console, print_json, print_pairs, print_table, say
from gradatim.settings import read_yaml_file

SPECTRUM = "spectrum"
MOST_ROWS = 20
COLUMNS = ("bytes", "held-out bytes", "share", "held-out blocks")


@app.command()
def build(
    source: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders or globs; hf://owner/name; spectrum (the graded world); or one "
            "YAML file of store settings, which options beside it override.",
            metavar="SOURCE...",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The store's folder.")],
    text_column: Annotated[str | None, typer.Option(help="Column of the text.")] = None,
    id_column: Annotated[str | None, typer.Option(help="Column of the document id.")] = None,
    source_column: Annotated[str | None, typer.Option(help="Column of a source.")] = None,
    level_column: Annotated[str | None, typer.Option(help="Column of a level.")] = None,
    difficulty_column: Annotated[
        list[str] | None,
        typer.Option(help="Column of numbers, higher is harder: a metric; again for more."),
    ] = None,
    on_bad: Annotated[str | None, typer.Option(help="stop, or skip and list [stop].")] = None,
    vocab_size: Annotated[
        int | None, typer.Option(help="Tokens of a trained tokenizer [4096].")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="A tokenizer.json, or hf:NAME, instead of training one.")
    ] = None,
    block_tokens: Annotated[int | None, typer.Option(help="Tokens in one block [256].")] = None,
    held_out_fraction: Annotated[
        float | None, typer.Option(help="Share of each source's bytes kept out [0.05].")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of the held-out split and the tokenizer's sample [0].")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Build a block store from text.

    Example: gradatim build books.parquet --out stores/books --level-column level

    Example: gradatim build store.yaml --block-tokens 128 --out stores/short
    """
    options = {
        "corpus": {
            "text_column": text_column,
            "id_column": id_column,
            "source_column": source_column,
            "level_column": level_column,
            "difficulty_columns": difficulty_column or None,
            "on_bad": on_bad,
        },
        "tokenizer": _tokenizer_settings(tokenizer, vocab_size),
        "block_tokens": block_tokens,
        "held_out_fraction": held_out_fraction,
        "seed": seed,
    }
    settings = _overridden(_settings_of(source), _given(options))
    store = verbs.build(settings, out, console=errors_console)
    report = store.report
    if as_json:
        print_json({"path": str(out), "fingerprint": store.fingerprint, **report})
        return
    facts = {name: value for name, value in report.items() if name != "held_out"}
    print_pairs(f"Store {out}", {"fingerprint": store.fingerprint, **facts})
    for label, counts in report["held_out"].items():
        if counts:
            print_table((label, *COLUMNS), _held_out_rows(counts))
        without = [name for name in counts if not counts[name]["held_out_blocks"]]
        if label == "level" and without:
            names = ", ".join(without)
            say(f"No held-out block: {label} {names}. A larger held_out_fraction gives one")
        if len(counts) > MOST_ROWS:
            say(f"{len(counts) - MOST_ROWS} more are in {out / 'store.json'}")


def _settings_of(source: list[str]) -> dict[str, Any]:
    """The settings that the sources alone stand for."""
    has_settings = any(name.endswith((".yaml", ".yml")) for name in source)
    if len(source) > 1 and (has_settings or SPECTRUM in source):
        raise typer.BadParameter("a YAML file of settings, or spectrum, stands alone as SOURCE")
    if has_settings:
        return read_yaml_file(Path(source[0]))
    return {"corpus": source[0] if len(source) == 1 else source}


def _tokenizer_settings(tokenizer: str | None, vocab_size: int | None) -> dict[str, Any]:
    if tokenizer is not None and vocab_size is not None:
        raise typer.BadParameter("--vocab-size is for training a tokenizer, not for --tokenizer")
    is_name = tokenizer is not None and tokenizer.startswith("hf:")
    return {
        "vocab_size": vocab_size,
        "hf": tokenizer.removeprefix("hf:") if tokenizer and is_name else None,
        "file": None if is_name else tokenizer,
    }


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, nested as the settings are."""
    given = {}
    for name, value in options.items():
        value = _given(value) if isinstance(value, Mapping) else value
        if value not in (None, {}):
            given[name] = value
    return given


def _overridden(settings: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Settings with the options given in their place.

    Raises:
        BadParameter: an option that would have no effect beside these settings.
    """
    corpus = settings.get("corpus")
    corpus = corpus if isinstance(corpus, Mapping) else {"location": corpus}
    is_world = settings.get("spectrum") is not None or corpus.get("location") == SPECTRUM
    without_effect = [
        *given.get("corpus", {}),
        *(["held_out_fraction"] * ("held_out_fraction" in given)),
    ]
    if is_world and without_effect:
        option = without_effect[0].replace("_", "-")
        raise typer.BadParameter(f"--{option} has no effect on the graded world")
    merged = settings | {name: value for name, value in given.items() if name != "corpus"}
    if "corpus" in given:
        merged["corpus"] = {**corpus, **given["corpus"]}
    tokenizer, asked = settings.get("tokenizer"), given.get("tokenizer")
    if asked and isinstance(tokenizer, Mapping):
        if "vocab_size" in asked:
            if tokenizer.get("file") is not None or tokenizer.get("hf") is not None:
                raise typer.BadParameter("--vocab-size has no effect on the tokenizer of the file")
            merged["tokenizer"] = {**tokenizer, **asked}
        else:
            merged["tokenizer"] = asked
    return merged


def _held_out_rows(counts: Mapping[str, Mapping[str, int]]) -> list[tuple[str, ...]]:
    """Of the largest sources or levels: bytes, and how much of them is held out."""
    names = sorted(counts, key=lambda name: -counts[name]["bytes"])
    rows: list[tuple[str, ...]] = []
    for name in names[:MOST_ROWS]:
        num_bytes, held_out = counts[name]["bytes"], counts[name]["held_out_bytes"]
        share = f"{100 * held_out / max(num_bytes, 1):.1f} %"
        blocks = f"{counts[name]['held_out_blocks']:,}"
        rows.append((name, f"{num_bytes:,}", f"{held_out:,}", share, blocks))
    return rows
