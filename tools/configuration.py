"""Write docs/configuration.md from the settings and their docstrings.

python tools/configuration.py
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from docstrings import entries, parts
from gradatim.blocks import spec as store
from gradatim.compute import Shape
from gradatim.recipe import Recipe, Scoring
from gradatim.record.spec import EvaluationSpec, OptimizerSpec
from gradatim.scoring.spec import ScoringSpec
from gradatim.study.rungs import OwnRung
from gradatim.study.spec import BudgetSpec, StudySpec
from gradatim.study.tuning import TuneSpec
from gradatim.timelines.data.bandit import Bandit
from gradatim.timelines.data.ceiling import Ceiling
from gradatim.timelines.data.order import Order
from gradatim.timelines.data.phase_plan import Phase
from gradatim.timelines.data.phases import Phases
from gradatim.timelines.data.selection import Selection
from gradatim.timelines.data.spacing import Reviews
from gradatim.timelines.data.stages import Stage, Stages
from gradatim.timelines.data.uniform import Uniform
from gradatim.timelines.network import FixedNetwork
from gradatim.timelines.objective import NextToken
from gradatim.timelines.rate import Rate
from gradatim.timelines.rate.averages import Ema, Mean
from gradatim.timelines.rate.batch import BatchPieces, BatchSwitch, DropStableRamp, Piece
from gradatim.timelines.rate.rewarmup import Rewarmup

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
HEAD = """<!-- Made by `python tools/configuration.py`: change the docstrings, not the page. -->

# Configuration

Every setting there is, as files and calls from Python are validated.
"""
MODELS: dict[str, type[BaseModel]] = {
    "## Study": StudySpec, "### Budget": BudgetSpec, "### Rung of your own": OwnRung,
    "### Tuning": TuneSpec,
    "### Evaluation": EvaluationSpec, "### Optimizer": OptimizerSpec, "### Who pays": Scoring,
    "## Recipe": Recipe, "### Data: uniform": Uniform, "### Data: ceiling": Ceiling,
    "### Data: order": Order, "### Data: selection": Selection,
    "### Data: stages": Stages, "### Stage": Stage,
    "### Data: bandit": Bandit, "### Data: phases": Phases, "### Phase": Phase,
    "### Reviews": Reviews, "### Objective: next token": NextToken,
    "### Network: fixed": FixedNetwork, "### Rate": Rate,
    "### Average: ema": Ema, "### Average: mean": Mean,
    "### Batch: pieces": BatchPieces, "### Piece": Piece, "### Batch: switch": BatchSwitch,
    "### Batch: drop, stable, ramp": DropStableRamp, "### Warm-up after growth": Rewarmup,
    "## Store": store.StoreSpec, "### Corpus": store.CorpusSpec,
    "### Graded world": store.SpectrumSpec, "### Tokenizer": store.TokenizerSpec,
    "## Scores": ScoringSpec,
}  # fmt: skip
TITLES = {model.__name__: title.lstrip("# ") for title, model in MODELS.items()}
TYPES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true, false"}
BOUNDS = {
    "exclusiveMinimum": "above", "minimum": "at least", "exclusiveMaximum": "below",
    "maximum": "at most", "maxLength": "characters: at most", "minItems": "entries: at least",
    "minProperties": "entries: at least", "pattern": "matches",
}  # fmt: skip


def meanings(model: type[BaseModel]) -> dict[str, str]:
    found = parts(model)
    listed = entries(found.get("Args", []) + found.get("Attributes", []))
    said = ((names, re.sub(r"\bNone\b", "null", text)) for names, text in listed)
    return {name: text for names, text in said for name in names.split(", ")}


def kind(schema: dict[str, Any]) -> str:
    """A JSON schema's type in words."""
    if "$ref" in schema:
        title = TITLES[schema["$ref"].rpartition("/")[2]]
        return f"[{title}](#{re.sub('[^a-z]+', '-', title.lower())})"
    if either := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(map(kind, either))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "array":
        return f"list of {several(schema.get('items') or schema['prefixItems'][0])}"
    if schema["type"] == "object":
        inner = schema["additionalProperties"]
        return "settings" if inner is True else f"mapping of names to {several(inner)}"
    return TYPES.get(schema["type"], schema["type"])


def several(schema: dict[str, Any]) -> str:
    """The same of more than one."""
    one = kind(schema)
    return one if one.endswith((")", "s")) else f"{one}s"


def bounds(schema: dict[str, Any]) -> list[str]:
    found = [f"{BOUNDS[key]} `{short(schema[key])}`" for key in BOUNDS if key in schema]
    inner = [schema.get("items"), schema.get("additionalProperties"), *schema.get("anyOf", [])]
    inner += schema.get("prefixItems", [])[:1]
    return found + [each for one in inner if isinstance(one, dict) for each in bounds(one)]


def short(value: Any) -> str:
    if isinstance(value, float | int) and not isinstance(value, bool):
        return f"{int(value):_}" if value == int(value) and value < 1e19 else f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return f"`kind: {value.kind}`" if hasattr(value, "kind") else "its defaults"
    return f"`{short(value)}`" if value != "" else '`""`'


def page() -> str:
    """The page; raises `KeyError` for a setting whose docstring says nothing."""
    text = HEAD
    for title, model in MODELS.items():
        schema = model.model_json_schema()
        says = meanings(model)
        if model is OwnRung:
            says = meanings(Shape) | says
        text += f"\n{title}\n\n" + "\n".join(parts(model)[""]).strip() + "\n"
        rows = ""
        for name, field in model.model_fields.items():
            inner = schema["properties"][name]
            if "const" in inner:
                text += f"\n`{name}: {inner['const']}`\n"
                continue
            cells = [f"`{name}`", kind(inner), default(field), ", ".join(bounds(inner)), says[name]]
            rows += f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |\n"
        if rows:
            text += f"\n| setting | type | default | bounds | meaning |\n|{' --- |' * 5}\n{rows}"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
