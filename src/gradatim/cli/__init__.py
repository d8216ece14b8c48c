"""The command line: one verb a station, each a thin cover over the function in `gradatim.verbs`.

Results go to standard output, as tables for people or, with `--json`, as JSON for programs;
progress and errors go to standard error. Exit codes are those of `gradatim.errors`.
"""

from gradatim.cli import recipes, running, scores, stores, studies
from gradatim.cli.app import app, main

__all__ = ["app", "main", "recipes", "running", "scores", "stores", "studies"]
