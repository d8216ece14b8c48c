"""The sections around the results: the answer, samples, the method in words, how to reproduce."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from gradatim.compute import num_matmul_parameters, num_parameters
from gradatim.law.comparison import UNITS, Comparison
from gradatim.record.read import Record
from gradatim.record.spec import run_id
from gradatim.report.axes import Arms
from gradatim.report.parts import (
    Cell,
    Group,
    Part,
    Row,
    Section,
    Table,
    number_columns,
    text_columns,
)
from gradatim.report.results import decimals_of
from gradatim.report.tables import Tables
from gradatim.report.wording import count, duration, flops, number


@dataclass(frozen=True)
class Answer:
    """The top of the page: the answer, what it rests on, what could not be seen."""

    headline: str
    rest: str
    resolution: str
    findings: Sequence[str]
    missing: Sequence[str]
    facts: Sequence[tuple[str, str]]


def answer(
    records: Sequence[Record], comparison: Comparison, tables: Tables, missing: Sequence[str]
) -> Answer:
    """The first clause of the headline large, what its controls say below, then the facts."""
    headline, rest = first_clause(comparison.headline)
    said = ("The replicated ", "Missing:")  # in the sentence below the headline, and in `missing`
    findings = [text for text in comparison.findings if not text.startswith(said)]
    return Answer(
        headline=headline,
        rest=rest,
        resolution=_resolution(comparison),
        findings=[text for text in findings if not comparison.headline.startswith(text[:-1])],
        missing=[*missing, *(text for text in comparison.missing if not _is_known(text, missing))],
        facts=_facts(records, comparison, tables),
    )


def first_clause(sentence: str) -> tuple[str, str]:
    """The part before the first semicolon that stands in no bracket, and the rest, as sentences."""
    depth = 0
    for place, character in enumerate(sentence):
        depth += (character == "(") - (character == ")")
        if character == ";" and depth == 0:
            rest = sentence[place + 1 :].lstrip()
            return f"{sentence[:place]}.", f"{rest[:1].upper()}{rest[1:]}"
    return sentence, ""


def _is_known(text: str, others: Sequence[str]) -> bool:
    """Whether another sentence is about the same run."""
    run = re.match(r".*, seed \d+", text)
    return run is not None and any(other.startswith(run.group()) for other in others)


def _resolution(comparison: Comparison) -> str:
    noise = comparison.noise_of(comparison.measure, comparison.name)
    if noise is None or noise.smallest_detectable is None:
        return (
            "With one seed there is no measure of noise: no difference on this page can be told "
            "from chance. Run at least two seeds, three for a claim."
        )
    unit = UNITS.get(comparison.measure, comparison.measure)
    return (
        "The smallest difference this study could have seen, as the mean over its rungs, is "
        f"{number(noise.smallest_detectable, decimals_of(comparison))} {unit}. Anything smaller "
        "is called not resolved."
    )


def _facts(
    records: Sequence[Record], comparison: Comparison, tables: Tables
) -> list[tuple[str, str]]:
    finished = [record for record in records if record.is_finished]
    seeds = {record.spec.seed for record in records}
    spent = sum((record.finish or {}).get("flops") or 0.0 for record in finished)
    tokens = sum((record.finish or {}).get("tokens") or 0 for record in finished)
    return [
        ("Runs finished", str(len(finished))),
        ("Arms", str(len(comparison.arms))),
        ("Rungs", ", ".join(comparison.rungs)),
        ("Seeds", str(len(seeds))),
        ("Tokens trained on", count(tokens)),
        ("Compute", f"{flops(spent)}FLOP"),
        ("Time, run after run", duration(sum(record.seconds for record in finished))),
    ]


def samples_section(
    records: Sequence[Record], comparison: Comparison, arms: Arms
) -> Section | None:
    """What the largest networks write after the first words of held-out texts."""
    for rung in reversed(comparison.rungs):
        texts: dict[str, dict[str, str]] = {}
        for record in sorted(records, key=lambda r: (arms.names.index(r.spec.arm), r.spec.seed)):
            if record.spec.rung == rung:
                for sample in record.events("sample"):
                    texts.setdefault(sample["prompt"], {}).setdefault(
                        record.spec.arm, sample["text"]
                    )
        if texts:
            parts = [
                Part(
                    "prose",
                    f"Written by the networks of rung {rung}, lowest seed, after the first words "
                    "of held-out texts. Chance has a large part in such text: look at it for "
                    "taste, not for evidence.",
                )
            ]
            parts += [
                Part("sample", {"prompt": prompt, "texts": list(found.items())})
                for prompt, found in texts.items()
            ]
            return Section("samples", "Samples", "Text they write", parts)
    return None


def method_section(comparison: Comparison) -> Section:
    """What the numbers mean, in plain words."""
    noise = comparison.noise_of(comparison.measure, comparison.name)
    seen = ""
    if noise is not None and noise.sd is not None:
        seen = (
            f" Here {comparison.baseline} scatters between seeds by {noise.sd:.2g} (standard "
            f"deviation, {noise.degrees_of_freedom} degrees of freedom)."
        )
    lines = [
        "`Equal compute.` Every run of a rung may spend the same FLOPs, whatever they go to. "
        "Progress is the share of them spent, and every schedule is a function of progress.",
        "`Bits per byte.` The loss on text that was held out by whole documents, in bits for each "
        "byte of the text. Lower is better; unlike the loss a token it does not depend on the "
        "tokenizer.",
        "`Paired by seed.` A seed fixes the first weights and the order of random draws. The "
        f"difference of an arm is taken to the {comparison.baseline} run of the same rung and "
        "seed, then averaged.",
        "`Intervals.` If the whole study were repeated with other seeds many times, about 95 of "
        "100 such intervals would hold the true mean difference. With two or three seeds a rung "
        "alone says little, so the scatter is pooled over rungs (Student's t). An interval speaks "
        "about these rungs, this text and this budget, not about others.",
        "`Not resolved.` A difference whose interval holds zero, or that is smaller than what the "
        f"scatter of the replicated {comparison.baseline} could feign. It does not mean that there "
        f"is no difference.{seen}",
        "`Compute ratio.` Where a learning curve first reaches the other arm's final loss, over "
        "that arm's compute. The learning rate is still high there, so a better arm's ratio is "
        "overstated: in truth it may save more.",
        "`Many looks.` Only the verdict of the headline is corrected for the number of methods "
        "(Holm). Bands, levels, tasks and single rungs are description.",
    ]
    return Section("method", "Method", "How to read these numbers", [Part("list", lines)])


def reproduce_section(
    records: Sequence[Record], comparison: Comparison, study_yaml: str | None
) -> Section:
    """Everything needed to run it again: study, one run's specification, machine, versions."""
    parts = [
        Part(
            "prose",
            "The same specification gives the same bits on the same machine, and the same order "
            "of blocks on every machine.",
        )
    ]
    if study_yaml is not None:
        parts.append(_folded("study.yaml", study_yaml.strip()))
    example = max(records, key=lambda r: (r.spec.budget_flops, r.spec.arm, -r.spec.seed)).spec
    text = yaml.safe_dump(example.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    label = f"Specification of one run: {example.arm}, rung {example.rung}, seed {example.seed}"
    parts.append(_folded(label, text.strip()))
    for name, environment in _environments(records).items():
        parts.append(_folded(name, environment))
    runs, rungs = _runs_table(records, comparison), _rungs_table(records, comparison)
    parts += [
        Part("folded table", rungs),
        Part("folded table", runs),
        Part("caption", "Hashes name what was drawn, in order and as a set.", csv=["runs.csv"]),
    ]
    return Section("reproduce", "Reproduce", "Run it again", parts)


def _folded(label: str, text: str) -> Part:
    return Part("folded text", {"label": label, "text": text})


def _environments(records: Sequence[Record]) -> dict[str, str]:
    """Every distinct machine and set of versions that runs were made with."""
    texts: dict[str, int] = {}
    for record in records:
        text = json.dumps(record.environment, indent=2, ensure_ascii=False)
        texts[text] = texts.get(text, 0) + 1
    return {
        f"Machine and versions of {number_of_runs} runs": text
        if len(texts) == 1
        else f"{text}\n\n(environment {place + 1} of {len(texts)})"
        for place, (text, number_of_runs) in enumerate(texts.items())
    }


def _rungs_table(records: Sequence[Record], comparison: Comparison) -> Table:
    specs = {record.spec.rung: record.spec for record in records}
    rows = []
    for rung in comparison.rungs:
        shape = specs[rung].shape
        sizes = f"{shape.num_layers} layers, width {shape.width}, {shape.num_heads} heads"
        cells = [
            Cell(rung),
            Cell(f"{shape.family}: {sizes}"),
            Cell(count(num_parameters(shape))),
            Cell(count(num_matmul_parameters(shape))),
            Cell(f"{flops(specs[rung].budget_flops)}FLOP"),
            Cell(str(specs[rung].batch_blocks)),
            Cell(str(shape.context_tokens)),
        ]
        rows.append(Row(cells))
    columns = [
        *text_columns("Rung", "Network"),
        *number_columns("Parameters", "N of the laws", "Budget a run", "Blocks a step"),
        *number_columns("Tokens a block"),
    ]
    return Table("The rungs", columns, [Group("", rows)])


def _runs_table(records: Sequence[Record], comparison: Comparison) -> Table:
    def row(record: Record) -> Row:
        finish: Mapping[str, Any] = record.finish or {}
        cells = [
            Cell(str(record.spec.seed)),
            Cell(run_id(record.spec)),
            Cell(number(finish.get("final_bits_per_byte"), 4)),
            Cell(duration(record.seconds)),
            Cell(str(finish.get("order_hash") or "unfinished")[:16]),
            Cell(str(finish.get("multiset_hash") or "")[:16]),
        ]
        return Row([Cell(record.spec.arm, "arm"), *cells])

    groups = [
        Group(f"Rung {rung}", [row(record) for record in records if record.spec.rung == rung])
        for rung in comparison.rungs
    ]
    columns = [
        *text_columns("Arm"),
        *number_columns("Seed"),
        *text_columns("Run"),
        *number_columns("Bits per byte", "Time"),
        *text_columns("Order", "Blocks"),
    ]
    return Table(f"All {len(records)} runs", columns, groups)
