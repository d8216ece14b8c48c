from __future__ import annotations

from gradatim import errors
from gradatim.errors import GradatimError, InputError, differences


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
    assert len(ours) == 11
    drawn = {}
    for line in (errors.__doc__ or "").splitlines():
        words = line.replace("│", " ").replace("├──", " ").replace("└──", " ").split()
        if len(words) > 1 and words[0].endswith("Error") and words[1].isdigit():
            drawn[words[0]] = int(words[1])
    assert drawn == {cls.__name__: cls.exit_code for cls in ours}


def test_two_settings_differ_leaf_by_leaf() -> None:
    was = {"a": {"x": 1, "y": [1]}, "b": None, "c": "same", "long": "l" * 100}
    now = {"a": {"x": 2, "y": [1]}, "b": {"z": 0}, "c": "same", "d": None, "long": ""}
    assert list(differences(was, now)) == [
        "a.x: was 1, now 2",
        'b: was null, now {"z": 0}',
        "d: was absent, now null",
        f'long: was "{"l" * 79}, now ""',
    ]
    assert list(differences("one", "two", "name")) == ['name: was "one", now "two"']
