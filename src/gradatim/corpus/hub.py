"""Hub data sets, and local folders laid out like one, streamed through the `datasets` library."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from gradatim.corpus.locations import Segment
from gradatim.corpus.readers import Choose, Row
from gradatim.errors import InputError, MissingExtraError

HUB_PREFIX = "hf://"
_FORM = "hf://owner/name[/config][?split=train]"


@dataclass(frozen=True, slots=True)
class HubLocation:
    """A data set, one of its configurations or None for the default, and one split."""

    path: str
    config: str | None
    split: str

    @classmethod
    def parse(cls, location: str) -> HubLocation:
        """Read `hf://owner/name[/config][?split=train]`; a folder that exists here goes first.

        Raises:
            InputError: it has another form.
        """
        path, _, query = location.removeprefix(HUB_PREFIX).partition("?")
        options = parse_qs(query, keep_blank_values=True)
        split = options.pop("split", ["train"])[-1]
        path = path.rstrip("/")
        parts = path.split("/")
        if options or not split or not path:
            raise _bad_form(location)
        if Path(path).is_dir():
            return cls(path, None, split)
        if path.startswith(("/", ".")):
            return cls("/".join(parts[:-1]), parts[-1], split)
        if len(parts) > 3 or not all(parts):
            raise _bad_form(location)
        return cls("/".join(parts[:2]), parts[2] if len(parts) == 3 else None, split)

    @property
    def name(self) -> str:
        return Path(self.path).name if self.config is None else self.config

    @property
    def source(self) -> str:
        return Path(self.path).name

    @property
    def where(self) -> str:
        config = "" if self.config is None else f"/{self.config}"
        return f"{HUB_PREFIX}{self.path}{config}?split={self.split}"

    @property
    def whole(self) -> Segment:
        """All of it, its size unknown."""
        return Segment(self.where, "hub", self.name, self.source)

    def read(self, choose: Choose) -> Iterator[Row]:
        """One row a record, with the columns that `choose` picks.

        Raises:
            InputError: the data set cannot be opened, or breaks off.
            MissingExtraError: `datasets` is not installed.
        """
        number = 0
        try:
            data_set = _open(self)
            names = data_set.column_names
            if names is None:
                names = list(next(iter(data_set), {}))
            for record in data_set.select_columns(choose(names)):
                number += 1
                yield Row(f"{self.where}: row {number}", number, record)
        except (InputError, MissingExtraError):
            raise
        except Exception as error:  # the library raises many kinds, its own and its parsers'
            raise InputError(
                f"the data set cannot be read after row {number}",
                where=self.where,
                got=f"{type(error).__name__}: {error}".splitlines()[0],
                remedy="Check name, configuration, split and connection",
            ) from error


def _open(location: HubLocation) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError(
            "reading hub data sets needs the extra `hf`",
            where=location.where,
            remedy="Install it: pip install 'gradatim[hf]'",
        ) from error
    return datasets.load_dataset(
        location.path, name=location.config, split=location.split, streaming=True
    )


def _bad_form(location: str) -> InputError:
    return InputError("not a hub data set", where=location, expected=_FORM)
