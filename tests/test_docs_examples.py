"""Every example of the documentation does what it says: run, validated, or read as a command.

A block is what its fence says: `python` is executed, in a folder that has the corpora, stores and
studies the pages name; `yaml` is validated as the study, store or recipe that its keys make it;
of `console` every line is a command whose program, verb, arguments and options exist; `text` is
output or a picture. There is no other kind, so that none is passed over.
"""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import yaml
from pydantic import BaseModel
from typer.main import get_command
from typer.testing import CliRunner

from gradatim import verbs
from gradatim.blocks.spec import StoreSpec
from gradatim.cli import app
from gradatim.recipe import Recipe
from gradatim.study.spec import StudySpec, parse_study
from small_corpus import prose

ROOT = Path(__file__).parents[1]
GENERATED = ("api.md", "cli.md", "configuration.md")  # held to the code by tests of their own
PAGES = [
    page
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
    if page.name not in GENERATED
]
FENCE = re.compile(r"^ *```(?P<kind>.*)\n(?P<text>(?:.*\n)*?) *```$", re.MULTILINE)
INLINE = re.compile(r"`((?:gradatim|python|make|typer) [^`]+)`")
KINDS = ("python", "yaml", "console", "text")
COMMANDS = get_command(app).commands  # type: ignore[attr-defined]
YOUR_OWN = "your-own.yaml"

pytestmark = pytest.mark.timeout(600)  # a study is trained, once; on a busy machine it takes long


def blocks() -> Iterator[tuple[str, str, str]]:
    """Kind, place and text of every fenced block."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in FENCE.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            yield found["kind"], f"{page.relative_to(ROOT)}:{line}", found["text"]


def of_kind(kind: str) -> list[object]:
    return [pytest.param(text, id=place) for found, place, text in blocks() if found == kind]


def your_own(page: str) -> str:
    """The study that a page tells its reader to save."""
    texts = [text for _, place, text in blocks() if place.startswith(f"{page}:")]
    return next(text for text in texts if "name: your-own" in text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages take to be there, small: corpora, a store, scores, a study that is over."""
    here = tmp_path_factory.mktemp("examples")
    rows = [{"text": prose(index, 4000), "my_age": float(index)} for index in range(40)]
    (here / "books").mkdir()
    for index, row in enumerate(rows):
        (here / "books" / f"{index}.txt").write_text(str(row["text"]), encoding="utf-8")
    pl.DataFrame(rows).write_parquet(here / "books.parquet")
    (here / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    small = yaml.safe_load(your_own("docs/index.md")) | {
        "seeds": 1,
        "budget": {"tokens": 8_000},
        "batch_blocks": 4,
        "controls": "none",
        "evaluation": {"num_points": 2, "num_blocks": 4, "num_samples": 0},
    }
    (here / YOUR_OWN).write_text(yaml.safe_dump(small))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        verbs.build({"corpus": "books.parquet"}, "stores/books")
        verbs.score({"corpus": "books.parquet"}, "scores/books")
        verbs.study(YOUR_OWN)
    (here / "out" / "demo").symlink_to("your-own")
    return here


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    found = Counter(kind for kind, _, _ in blocks())
    others = [place for kind, place, _ in blocks() if kind not in KINDS]
    assert not others, f"say what these blocks are ({', '.join(KINDS)}): {others}"
    print("blocks of each kind:", dict(found))
    assert found["python"] >= 11
    assert found["yaml"] >= 6
    assert found["console"] >= 12


@pytest.mark.parametrize("text", of_kind("python"))
def test_python_runs(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    exec(compile(text, "example", "exec"), {"__name__": "example"})


@pytest.mark.parametrize("text", of_kind("yaml"))
def test_yaml_is_a_study_a_store_or_a_recipe(text: str) -> None:
    values = yaml.safe_load(text)
    if values.keys() & {"rungs", "arms"}:
        read: BaseModel = parse_study(values, where="example")
    elif values.keys() & StoreSpec.model_fields.keys():
        read = StoreSpec.model_validate(values)
    else:
        read = Recipe.parse(values, where="example")
    assert values.keys() <= read.model_fields_set


def commands(text: str) -> Iterator[list[str]]:
    """The words of every command of a console block, which has nothing but commands."""
    for line in text.replace("\\\n", "").splitlines():
        assert line.startswith("$ "), f"output belongs to a block `text`: {line}"
        words = shlex.split(line[2:], comments=True)
        while re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words.pop(0)
        yield words[: words.index(">")] if ">" in words else words


def check_command(words: list[str], *, is_whole: bool) -> None:
    """Fail unless the command is one that there is; a whole one is parsed as when it is called."""
    program, *arguments = words
    if program == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert re.search(rf"^{re.escape(arguments[0])}:", makefile, re.MULTILINE), words
    elif program == "python":
        check_script(arguments)
    elif program != "typer":
        assert program == "gradatim", f"which program is this? {words}"
        assert arguments[0] in COMMANDS, f"no verb {arguments[0]}"
        verb, *arguments = COMMANDS[arguments[0]], *arguments[1:]
        while arguments and arguments[0] in getattr(verb, "commands", ()):
            verb, *arguments = verb.commands[arguments[0]], *arguments[1:]
        if is_whole:
            verb.make_context(verb.name, list(arguments))
        known = {name for each in verb.params for name in each.opts} | {"--help"}
        used = {word.partition("=")[0] for word in arguments if word.startswith("--")}
        assert used <= known, f"{verb.name} has no {used - known}"


def check_script(arguments: list[str]) -> None:
    script, *rest = arguments
    if script == "-m":
        module = (ROOT / "src" / rest[0].replace(".", "/")).with_suffix(".py")
        assert module.is_file(), rest
        return
    source = (ROOT / script).read_text(encoding="utf-8")
    for option in rest:
        assert not option.startswith("--") or f'"{option}"' in source, f"{script} has no {option}"


@pytest.mark.parametrize("text", of_kind("console"))
def test_console_is_commands_that_there_are(text: str) -> None:
    for words in commands(text):
        check_command(words, is_whole=True)


def test_commands_in_running_text_and_in_helps_are_there_too() -> None:
    helps = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    examples = re.findall(r"^Example: (.*)$", helps, re.MULTILINE)
    assert len(examples) > 10
    for example in examples:
        check_command(shlex.split(example), is_whole=True)
    inline = [found for page in PAGES for found in INLINE.findall(page.read_text("utf-8"))]
    assert len(inline) > 20
    for command in inline:
        check_command(command.split(), is_whole=False)


def test_the_study_of_ones_own_is_planned_word_for_word(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = your_own("README.md")
    assert text == your_own("docs/index.md")
    (tmp_path / "books").symlink_to(folder / "books")
    (tmp_path / YOUR_OWN).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    planned = CliRunner().invoke(app, ["plan", YOUR_OWN], catch_exceptions=False)
    assert planned.exit_code == 0, planned.output
    spec = StudySpec.model_validate(yaml.safe_load(text))
    runs = len(spec.rungs) * len(spec.cells()) * len(spec.seeds)
    assert runs == 24
    assert "easy-first-shuffled" in planned.output
