"""Which columns of a table, or fields of a JSON object, a document is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from gradatim.errors import InputError

_GUESSES = {
    "text": ("text", "content", "body"),
    "id": ("id", "doc_id"),
    "source": ("source", "source_repo"),
    "level": ("level",),
}
"""Names of columns by their role, the likeliest first."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns asked for; None means: guess; "" means: take none."""

    text: str | None = None
    id: str | None = None
    source: str | None = None
    level: str | None = None
    values: tuple[str, ...] = ()

    def chosen(self, names: Sequence[str], where: str) -> dict[str, str]:
        """Role → column name, for the columns there are.

        Raises:
            InputError: no text column, or a column that was asked for is missing.
        """
        chosen = {}
        for role, guessed in _GUESSES.items():
            asked: str | None = getattr(self, role)
            wanted = guessed if asked is None else (asked,) if asked else ()
            found = next((name for name in wanted if name in names), None)
            if found is not None:
                chosen[role] = found
            elif asked or role == "text":
                expected = asked or f"one of {', '.join(guessed)}"
                remedy = f"Name it with {role}_column (--{role}-column)"
                raise _no_column(role, names, where, expected, remedy)
        return chosen

    def to_read(self, names: Sequence[str], where: str) -> list[str]:
        """The columns to be read from a table, each once.

        Raises:
            InputError: as `chosen`; a column of numbers is missing; a table has one of them twice.
        """
        for name in self.values:
            if name not in names:
                raise _no_column("such", names, where, name, "Check the name of the column")
        columns = list(dict.fromkeys([*self.chosen(names, where).values(), *self.values]))
        times = Counter(names)
        for name in columns:
            if times[name] > 1:
                raise InputError(
                    "a column is there more than once",
                    where=where,
                    got=f"{times[name]} columns {name}",
                    remedy="Rename all but one",
                )
        return columns

    def check_used(self, formats: Collection[str], where: str) -> None:
        """Refuses columns that were asked for where there is plain text alone.

        Raises:
            InputError: naming the first.
        """
        asked = [f"{role}_column" for role in _GUESSES if getattr(self, role)]
        asked += ["value_columns"] * bool(self.values)
        if asked and set(formats) == {"text"}:
            raise InputError(
                f"{asked[0]} has no effect",
                where=where,
                expected="tables or JSON lines, which have columns",
                got="plain text",
                remedy="Leave it out",
            )


def _no_column(
    role: str, names: Sequence[str], where: str, expected: str, remedy: str
) -> InputError:
    got = f"the columns {', '.join(names) or 'none'}"
    return InputError(f"no {role} column", where=where, expected=expected, got=got, remedy=remedy)
