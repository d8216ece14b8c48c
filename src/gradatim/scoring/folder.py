"""What describes a folder of scores: its settings before, its meaning and quantiles after."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from gradatim import __version__
from gradatim.corpus.documents import MOST_PLACES
from gradatim.corpus.pieces import CorpusPlan, Piece
from gradatim.corpus.storage import OutputFolder
from gradatim.errors import InputError, MismatchError, StoreError, differences
from gradatim.files import hash_file, hash_json
from gradatim.scoring.columns import describe
from gradatim.scoring.engines import Engine
from gradatim.scoring.part import PartReport, ScoresSummary, part_name
from gradatim.scoring.quantiles import exact_quantiles
from gradatim.scoring.spec import ScoringSpec

SCHEMA_VERSION = 1
DESCRIPTION, SETTINGS, LOCK = "scores.json", "settings.json", ".lock"
_MOST_DIFFERENCES = 8


def summary_of(reports: Sequence[PartReport], plan: CorpusPlan) -> ScoresSummary:
    """Sums over the parts, the first twenty places of bad rows, and what is no part."""
    names = {entry.name for entry in fields(ScoresSummary)} - {"places", "passed_over"}
    sums = {name: sum(getattr(report, name) for report in reports) for name in names}
    places = [place for report in reports for place in report.places][:MOST_PLACES]
    passed_over = {ending: plan.passed_over[ending] for ending in sorted(plan.passed_over)}
    return ScoresSummary(**sums, places=places, passed_over=passed_over)


def settings_of(spec: ScoringSpec, plan: CorpusPlan) -> dict[str, Any]:
    """Everything the parts depend on, and what tells that a file was written to."""
    settings = spec.model_dump(mode="json", exclude={"corpus", "num_bands"})
    if spec.tokenizer is not None:
        settings["tokenizer"] = _hash_of_tokenizer(spec.tokenizer)
    corpus: dict[str, Any] = {
        f"{number} {file.name}": {"num_bytes": file.num_bytes, "changed": file.changed}
        for number, file in enumerate(plan.files, 1)
    }
    segments = [segment for piece in plan.pieces for segment in piece.segments]
    hubs = {segment.path for segment in segments if segment.format == "hub"}
    corpus |= {path: {} for path in sorted(hubs)}
    return {
        "schema_version": SCHEMA_VERSION,
        "gradatim": __version__,
        "settings": json.loads(json.dumps(settings)),
        "corpus": corpus,
    }


def identity_of(settings: dict[str, Any]) -> str:
    """32 hex digits over the settings; not the times of change, which decide no byte."""
    corpus = {name: entry.get("num_bytes") for name, entry in settings["corpus"].items()}
    return hash_json(settings | {"corpus": corpus})


def check_same(folder: OutputFolder, settings: dict[str, Any]) -> None:
    """Lets a new, an empty, or a folder of the same scores pass.

    Raises:
        MismatchError: it holds scores of another corpus or other settings.
        StoreError: it holds something else.
    """
    names = [name for name in folder.names() if not name.startswith(".")]
    if SETTINGS not in names:
        if names:
            raise StoreError(
                "there is something else than scores",
                where=folder.location,
                got=", ".join(names[:5]),
                remedy="Give another folder",
            )
        return
    there = _json_in(folder, SETTINGS)
    if there is None:
        raise StoreError(
            "damaged, so nobody can say what was scored",
            where=folder.path_of(SETTINGS),
            remedy="Give another folder, or remove this one",
        )
    found = list(differences(there, settings))
    if found:
        more = len(found) - _MOST_DIFFERENCES
        shown = found[:_MOST_DIFFERENCES] + ([f"and {more} more"] if more > 0 else [])
        raise MismatchError(
            "other scores lie there; " + "; ".join(shown),
            where=folder.location,
            remedy="Give another folder, or remove this one",
        )


def _json_in(folder: OutputFolder, name: str) -> dict[str, Any] | None:
    """The mapping in a file of JSON; None where it holds something else."""
    try:
        content = json.loads(folder.read_bytes(name))
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def write_json(folder: OutputFolder, name: str, content: dict[str, Any]) -> None:
    """JSON for people and programs; NaN is refused."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    folder.write_bytes(name, f"{text}\n".encode())


def is_described(
    folder: OutputFolder,
    spec: ScoringSpec,
    summary: ScoresSummary,
    reports: Sequence[PartReport],
) -> bool:
    """Whether `scores.json` is there and says what it would say now."""
    content = _json_in(folder, DESCRIPTION) if DESCRIPTION in folder.names() else None
    if content is None:
        return False
    now = {
        "fingerprint": _fingerprint(reports),
        "settings": _asked(spec),
        "corpus": list(spec.locations),
        "passed_over": summary.passed_over,
    }
    return all(content.get(key) == value for key, value in now.items())


def write_description(
    folder: OutputFolder,
    spec: ScoringSpec,
    summary: ScoresSummary,
    pieces: Sequence[Piece],
    reports: Sequence[PartReport],
    engine: Engine,
) -> None:
    """Writes `scores.json`: columns, quantiles, edges of bands, parts."""
    paths = [folder.path_of(part_name(report.piece)) for report in reports if report.num_rows]
    quantiles = exact_quantiles(paths, spec.metrics, spec.num_bands, engine)
    content = {
        "schema_version": SCHEMA_VERSION,
        "corpus": list(spec.locations),
        "unit": spec.unit,
        "settings": _asked(spec),
        **asdict(summary),
        "columns": describe(spec.metrics),
        "quantiles": {
            name: {
                "method": "exact",
                "rank_error": 0.0,
                "num_values": found.num_values,
                "values": list(found.values),
            }
            for name, found in quantiles.items()
        },
        "bands": {
            "num_bands": spec.num_bands,
            "edges": {name: list(found.edges) for name, found in quantiles.items()},
        },
        "parts": [
            {
                "file": part_name(report.piece),
                "piece": piece.index,
                "reads": str(piece),
                "num_rows": report.num_rows,
                "num_bytes": report.num_bytes,
            }
            for piece, report in zip(pieces, reports, strict=True)
        ],
        "fingerprint": _fingerprint(reports),
    }
    write_json(folder, DESCRIPTION, content)


def _asked(spec: ScoringSpec) -> dict[str, Any]:
    asked: dict[str, Any] = spec.model_dump(mode="json", exclude={"corpus"})
    return asked


def _fingerprint(reports: Sequence[PartReport]) -> str:
    """32 hex digits over the settings and all texts that were scored."""
    return hash_json([[report.identity, report.content] for report in reports])


def _hash_of_tokenizer(path: str) -> str:
    try:
        if Path(path).exists() and not Path(path).is_file():  # a pipe would never end
            raise InputError("not a file", where=path, expected="a tokenizer.json")
        return hash_file(Path(path))
    except OSError as error:
        raise InputError("cannot be read", where=path, got=error.strerror) from error
