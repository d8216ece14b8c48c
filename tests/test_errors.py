from __future__ import annotations

from gradatim import errors
from gradatim.errors import GradatimError, InputError


def test_an_error_says_where_expected_got_and_what_to_do() -> None:
    error = InputError(
        "is not a string",
        where="books.jsonl:12: field 'text'",
        expected="text",
        got="null",
        remedy="Drop the row, or pass --on-bad skip",
    )
    assert str(error) == (
        "books.jsonl:12: field 'text': is not a string; expected text; got null. "
        "Drop the row, or pass --on-bad skip"
    )


def test_every_exit_code_is_drawn_in_the_docstring() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    ours = [cls for cls in classes if issubclass(cls, GradatimError)]
    assert len(ours) == 10
    drawn = {}
    for line in (errors.__doc__ or "").splitlines():
        words = line.replace("│", " ").replace("├──", " ").replace("└──", " ").split()
        if len(words) > 1 and words[0].endswith("Error") and words[1].isdigit():
            drawn[words[0]] = int(words[1])
    assert drawn == {cls.__name__: cls.exit_code for cls in ours}
