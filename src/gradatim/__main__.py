"""`python -m gradatim` is `gradatim`."""

from __future__ import annotations

from gradatim.cli import main

if __name__ == "__main__":
    main()
