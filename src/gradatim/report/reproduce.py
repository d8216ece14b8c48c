"""The sections around the results: samples, and everything needed to run the study again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import yaml

from gradatim.compute import num_matmul_parameters, num_parameters
from gradatim.law.comparison import Comparison
from gradatim.record.read import Record
from gradatim.record.spec import run_id
from gradatim.report.palette import Arms
from gradatim.report.parts import Table, columns
from gradatim.report.wording import count, duration, flops, number


def samples(records: Sequence[Record], comparison: Comparison, arms: Arms) -> dict[str, Any] | None:
    """What the largest networks write after the first words of held-out texts."""
    ordered = sorted(records, key=lambda r: (arms.names.index(r.spec.arm), r.spec.seed))
    for rung in reversed(comparison.rungs):
        texts: dict[str, dict[str, str]] = {}
        for record in ordered:
            for sample in record.events("sample") if record.spec.rung == rung else ():
                of_prompt = texts.setdefault(sample["prompt"], {})
                of_prompt.setdefault(record.spec.arm, sample["text"])
        if texts:
            return {"rung": rung, "texts": texts}
    return None


def reproduction(
    records: Sequence[Record], comparison: Comparison, study_yaml: str | None
) -> dict[str, Any]:
    """Study, one run's specification, machine and versions, rungs and runs."""
    example = max(records, key=lambda r: (r.spec.budget_flops, r.spec.arm, -r.spec.seed)).spec
    spec = yaml.safe_dump(example.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    label = f"Specification of one run: {example.arm}, rung {example.rung}, seed {example.seed}"
    texts = [(label, spec), *_environments(records)]
    if study_yaml is not None:
        texts.insert(0, ("study.yaml", study_yaml))
    return {
        "texts": [(label, text.strip()) for label, text in texts],
        "rungs": _rungs_table(records, comparison),
        "runs": _runs_table(records, comparison),
    }


def _environments(records: Sequence[Record]) -> list[tuple[str, str]]:
    """Every distinct machine and set of versions that runs were made with."""
    texts = Counter(json.dumps(r.environment, indent=2, ensure_ascii=False) for r in records)
    return [
        (
            f"Machine and versions of {num_runs} runs",
            f"{text}\n\n(environment {place} of {len(texts)})" if len(texts) > 1 else text,
        )
        for place, (text, num_runs) in enumerate(texts.items(), 1)
    ]


def _rungs_table(records: Sequence[Record], comparison: Comparison) -> Table:
    specs = {record.spec.rung: record.spec for record in records}
    rows = []
    for rung in comparison.rungs:
        spec, shape = specs[rung], specs[rung].shape
        sizes = f"{shape.num_layers} layers, width {shape.width}, {shape.num_heads} heads"
        cells = [rung, f"{shape.family}: {sizes}"]
        cells += [count(num_parameters(shape)), count(num_matmul_parameters(shape))]
        cells += [f"{flops(spec.budget_flops)}FLOP", str(spec.batch_blocks)]
        rows.append([*cells, str(shape.context_tokens)])
    numbers = ("Parameters", "N of the laws", "Budget a run", "Blocks a step", "Tokens a block")
    heads = [*columns("text", "Rung", "Network"), *columns("number", *numbers)]
    return Table("The rungs", heads, {"": rows})


def _runs_table(records: Sequence[Record], comparison: Comparison) -> Table:
    groups: dict[str, list[list[str]]] = {f"Rung {rung}": [] for rung in comparison.rungs}
    is_crossed = any(record.spec.operation.schedule for record in records)
    for record in records:
        finish = record.finish or {}
        schedule = [record.spec.operation.schedule or ""] if is_crossed else []
        cells = [record.spec.arm, *schedule, str(record.spec.seed)]
        cells += [run_id(record.spec)]
        cells += [number(finish.get("final_bits_per_byte"), 4), duration(record.seconds)]
        hashes = [finish.get("order_hash") or "unfinished", finish.get("multiset_hash") or ""]
        groups[f"Rung {record.spec.rung}"].append([*cells, *(text[:16] for text in hashes)])
    heads = [*columns("arm", "Arm"), *(columns("text", "Schedule") if is_crossed else [])]
    heads += [*columns("number", "Seed"), *columns("text", "Run")]
    heads += [*columns("number", "Bits per byte", "Time"), *columns("text", "Order", "Blocks")]
    return Table(f"All {len(records)} runs", heads, groups)
