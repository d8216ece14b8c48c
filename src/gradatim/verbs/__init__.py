"""Every verb of the command line as one Python function of the same name.

This is where the stations meet: a verb reads what one station left on disk and calls the next.
Stations are imported on demand, so that `gradatim compare` does not wait for torch.
"""

from gradatim.verbs.check import check
from gradatim.verbs.recipes import recipe, recipe_cost, recipes
from gradatim.verbs.running import demo, plan, sight, status, study
from gradatim.verbs.scores import score, score_blocks, score_report
from gradatim.verbs.studies import (
    build,
    compare,
    evaluate,
    explain,
    export,
    fit,
    report,
    train,
)

__all__ = [
    "build",
    "check",
    "compare",
    "demo",
    "evaluate",
    "explain",
    "export",
    "fit",
    "plan",
    "recipe",
    "recipe_cost",
    "recipes",
    "report",
    "score",
    "score_blocks",
    "score_report",
    "sight",
    "status",
    "study",
    "train",
]
