"""What the score report says of columns, groups, shares and reasons, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from gradatim.report.scores_count import OTHER
from gradatim.report.wording import percent

_MAX_REASONS = 5
_MAX_LABEL = 80
_PROPER_NAMES = {
    name.lower(): name
    for name in ("Flesch", "Kincaid", "Gunning", "Coleman", "Liau", "Linsear", "Dale", "Chall")
} | {name.lower(): name for name in ("Spache", "SMOG", "LIX", "RIX", "MTLD", "MATTR", "SALT", "DS")}


def words(name: str) -> str:
    """A column's name as words."""
    return " ".join(_PROPER_NAMES.get(word, word) for word in name.split("_"))


def cropped(label: str | None) -> str:
    """A name that is not longer than a line."""
    label = label or ""
    return label if len(label) <= _MAX_LABEL else f"{label[: _MAX_LABEL - 1]}…"


def short_labels(labels: Sequence[str]) -> list[str]:
    """Without a folder that several share, unless names would be alike; none too long to print."""
    folders = Counter(label.partition("/")[0] for label in labels if "/" in label)
    short = [
        label.partition("/")[2] if folders[label.partition("/")[0]] > 1 else label
        for label in labels
    ]
    return [cropped(label) for label in (short if len(set(short)) == len(labels) else labels)]


def counted(num_rows: int, unit: str) -> str:
    """`1 passage`, `1,204 passages`."""
    return f"{num_rows:,} {unit}{'' if num_rows == 1 else 's'}"


def share_words(share: float) -> str:
    """One decimal, but none of nothing and of all."""
    return percent(share, 0 if share in (0, 1) else 1)


def reasons_words(reasons: Mapping[str, int]) -> str:
    """`list 120, code 7`, as they stand, those beyond the first few joined."""
    named = [f"{cropped(reason)} {num_rows:,}" for reason, num_rows in reasons.items()]
    rest = sum(list(reasons.values())[_MAX_REASONS:])
    return ", ".join([*named[:_MAX_REASONS], *([f"{OTHER} {rest:,}"] if rest else [])])
