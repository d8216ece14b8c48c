"""An installation and a home that may not be written: compiled all the same, and said once."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import warnings
from numba.core import caching
def refuse(locator):
    raise PermissionError(locator.get_cache_path())
if {is_refused}:
    caching._CacheLocator.ensure_cache_path = refuse
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    from gradatim.corpus import cutting
    from gradatim.difficulty import compiled, kernel, lexicon, vocabulary
    from gradatim.numba_cache import KEPT
print(KEPT, *(warning.message for warning in told))
"""


def test_code_that_cannot_be_kept_is_compiled_anyway() -> None:
    for is_refused, said in (
        (True, "False compiled code cannot be kept, so every start takes about a minute more."),
        (False, "True"),
    ):
        result = subprocess.run(
            [sys.executable, "-c", CODE.format(is_refused=is_refused)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        assert result.stdout.startswith(said)
        assert result.stdout.count("cannot be kept") == is_refused
