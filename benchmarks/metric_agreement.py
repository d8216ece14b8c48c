"""Which metrics order text alike, as sentences and a table of Markdown.

    python benchmarks/metric_agreement.py SCORES_FOLDER [--metric reading_age]

The numbers are those of the score report; `docs/results/metric-agreement.md` was made with it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from gradatim.report.scores_agreement import (
    agreement_sentences,
    measure_agreement,
    sample_sentence,
)
from gradatim.report.scores_count import take_census
from gradatim.report.scores_folder import ScoresFolder
from gradatim.report.wording import number


def agreement_lines(folder: Path, metric: str | None = None) -> Iterator[str]:
    """Lines of Markdown; `metric` is the one whose nearest and furthest metric is said too.

    Raises:
        SpecError: there is no such metric.
        StoreError: not a scores folder.
    """
    scores = ScoresFolder.read(folder)
    if metric is not None:
        scores.metric(metric)
    agreement = measure_agreement(scores, take_census(scores))
    yield (
        "Spearman's rank correlation, every metric turned so that higher is harder. "
        f"{sample_sentence(agreement, scores.unit)}"
    )
    yield ""
    yield from (f"- {sentence}" for sentence in agreement_sentences(agreement, metric))
    yield ""
    yield "Metrics that order text alike stand side by side; columns are numbered as rows are."
    yield ""
    heads = [str(place) for place, _ in enumerate(agreement.names, 1)]
    yield f"| | metric | {' | '.join(heads)} |"
    yield "| --: | :-- |" + " --: |" * len(heads)
    rows = zip(heads, agreement.names, agreement.correlations.tolist(), strict=True)
    for place, name, values in rows:
        yield f"| {place} | `{name}` | {' | '.join(number(value, 2) for value in values)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--metric")
    arguments = parser.parse_args()
    print("\n".join(agreement_lines(arguments.folder, arguments.metric)))


if __name__ == "__main__":
    main()
