from __future__ import annotations

import inspect
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner

from gradatim import __version__, verbs
from gradatim.blocks.store import Store
from gradatim.cli import app, main
from gradatim.train.checkpoint import kept_steps
from small_corpus import write_corpus

VERBS = (
    "demo", "build", "score", "plan", "train", "study", "status", "compare", "fit", "report",
    "check", "evaluate", "explain", "export", "recipes",
)  # fmt: skip
ROOT = Path(__file__).parents[1]


def call(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code and standard error of a call that goes wrong, through the real entry point."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["gradatim", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
    assert isinstance(ended.value.code, int)
    return ended.value.code, capsys.readouterr().err


@pytest.fixture(scope="module")
def run_folder(world_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "run"
    call(
        "train", str(world_store.path), "--rung", "10k", "--tokens", "4000",
        "--batch-blocks", "4", "--out", str(folder),
    )  # fmt: skip
    return folder


def test_there_is_a_command_and_a_function_for_every_verb() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert sorted(commands) == sorted(VERBS)
    for verb in VERBS:
        assert inspect.isfunction(getattr(verbs, verb))


@pytest.mark.parametrize("verb", VERBS)
def test_every_help_shows_an_example_and_every_page_names_the_verb(verb: str) -> None:
    text = call(verb, "--help")
    assert f"Example: gradatim {verb}" in text
    assert f"gradatim {verb}" in (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")


def test_the_command_reference_is_what_the_commands_say() -> None:
    generated = subprocess.run(
        [sys.executable, "-m", "typer", "gradatim.cli", "utils", "docs",
         "--name", "gradatim", "--title", "Command line"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert page.strip() == generated.stdout.strip()


def test_train_evaluate_explain_export(run_folder: Path, tmp_path: Path) -> None:
    result = json.loads(call("evaluate", str(run_folder), "--num-blocks", "6", "--json"))
    assert result["bits_per_byte"]["all"] > 0
    assert set(result["tasks"]["held_out/b"]) == {
        "accuracy", "probability", "chance", "num_items",
    }  # fmt: skip
    rows = json.loads(call("explain", str(run_folder), "--step", "2", "--json"))
    assert len(rows) == 4
    assert all(row["text"] and row["loss_nats"] > 0 for row in rows)
    call("export", str(run_folder), "--out", str(tmp_path / "hf"))
    assert {path.name for path in (tmp_path / "hf").iterdir()} >= {
        "config.json", "model.safetensors", "tokenizer.json",
    }  # fmt: skip


def test_any_checkpoint_is_evaluated_and_exported(run_folder: Path, tmp_path: Path) -> None:
    steps = kept_steps(run_folder)
    early, late = (str(step) for step in (steps[0], steps[-1]))
    found = {
        moment: call("evaluate", str(run_folder), "--num-blocks", "6", "--checkpoint", moment)
        for moment in ("last", early, late, "1.0")
    }
    assert found["last"] == found[late] == found["1.0"] != found[early]
    weights = {}
    for moment in ("last", early):
        out = tmp_path / moment
        call("export", str(run_folder), "--out", str(out), "--checkpoint", moment)
        weights[moment] = (out / "model.safetensors").read_bytes()
    assert weights["last"] != weights[early]


@pytest.mark.parametrize(
    "moment", ["7777", "0", "0.123", "nan", "inf", "1e30", "-1", "x", "9" * 5000]
)
def test_a_checkpoint_that_is_not_there_is_one_line(
    moment: str, run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (("evaluate",), ("export", "--out", str(tmp_path / "hf"))):
        verb, *options = command
        code, text = failure(capsys, verb, str(run_folder), f"--checkpoint={moment}", *options)
        assert code in (3, 5)
        assert text.count("\n") == 1
        assert len(text) < 1200
    assert not (tmp_path / "hf").exists()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        *((["--tokens", tokens], "tokens: is no budget")
          for tokens in ("0", "-5", "nan", "inf", "-inf", "1e308", "1e30")),
        (["--tokens", "1"], "budget"),
        (["--seed", "-1"], "seed"),
        (["--seed", str(2**70)], "seed"),
        (["--batch-blocks", "0"], "batch_blocks"),
        (["--batch-blocks", str(10**12)], "batch_blocks"),
        (["--threads", "0"], "threads"),
        (["--threads", "-1"], "threads"),
        (["--rung", "x" * 5000], "rung: unknown rung"),
    ],
)  # fmt: skip
def test_what_a_run_cannot_mean_is_one_line_before_anything_is_spent(
    options: list[str],
    named: str,
    world_store: Store,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    usual = ("--rung", "10k", "--tokens", "4000", "--batch-blocks", "4")
    out = tmp_path / "run"
    command = ("train", str(world_store.path), *usual, "--out", str(out), *options)
    code, text = failure(capsys, *command)
    assert code == 3
    assert named in text
    assert text.count("\n") == 1
    assert len(text) < 1200
    assert not out.exists()


@pytest.mark.parametrize(
    "options", [["--num-blocks", "0"], ["--num-blocks", "-5"], ["--num-tasks", "-1"]]
)
def test_numbers_that_measure_nothing_are_refused(
    options: list[str], run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = failure(capsys, "evaluate", str(run_folder), *options)
    assert code == 3
    assert "too few; expected" in text


def test_tasks_are_not_asked_of_a_store_that_has_none(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Store, "tasks", lambda _store: [])
    code, text = failure(capsys, "evaluate", str(run_folder), "--num-tasks", "5")
    assert code == 3
    assert "the store has no tasks" in text
    assert "bits per byte" in call("evaluate", str(run_folder), "--num-blocks", "6")


def test_the_tables_for_people_hold_the_same_numbers(run_folder: Path) -> None:
    values = json.loads(call("evaluate", str(run_folder), "--num-blocks", "6", "--json"))
    text = call("evaluate", str(run_folder), "--num-blocks", "6")
    assert f"all: {values['bits_per_byte']['all']:.4g}" in text
    assert "accuracy" in text
    assert "loss_nats" in call("explain", str(run_folder), "--step", "1")


def test_plan_prints_costs_without_building_anything(tmp_path: Path) -> None:
    study: dict[str, Any] = {
        "name": "planned",
        "store": {
            "corpus": str(write_corpus(tmp_path / "texts.jsonl")),
            "tokenizer": {"vocab_size": 300},
            "block_tokens": 32,
        },
        "rungs": ["10k"],
        "arms": {"uniform": {}},
        "seeds": 2,
        "budget": {"tokens": 5000},
        "batch_blocks": 2,
    }
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study))
    planned = json.loads(call("plan", str(path), "--json"))
    assert planned["num_runs"] == 2
    assert planned["runs"][0]["tokens"] == 5000 // 64 * 64
    assert "2 runs" in call("plan", str(path))
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / "texts.jsonl"]


def test_an_expected_failure_is_one_line_with_its_code(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, text = failure(capsys, "study", str(tmp_path / "no.yaml"))
    assert code == 3
    assert text.count("\n") == 1
    assert "no.yaml: no such file" in text
    code, text = failure(capsys, "report", str(tmp_path))
    assert code == 5
    assert "is not the folder of a study" in text
    code, text = failure(capsys, "train", str(tmp_path), "--rung", "10k", "--tokens", "1e4",
                         "--out", str(tmp_path / "run"))  # fmt: skip
    assert code == 4
    code, text = failure(capsys, "trian")
    assert code == 2
    assert "No such command" in text


def test_the_version_needs_no_command() -> None:
    assert call("--version") == f"{__version__}\n"
    assert call("--version", "trian") == f"{__version__}\n"


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gradatim", "--debug", "report", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" in result.stderr
    assert "RecordError" in result.stderr


def test_help_does_not_wait_for_torch() -> None:
    code = "import sys, gradatim.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_wrong_store_setting_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "store.yaml"
    path.write_text("spectrum: {num_bytes: 100000}\nblock_token: 64\n")
    code, text = failure(capsys, "build", str(path), "--out", str(tmp_path / "store"))
    assert code == 3
    assert "block_token" in text
    assert "Did you mean block_tokens?" in text
    assert not (tmp_path / "store").exists()


def test_score_prints_a_table_and_the_same_numbers_as_json(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "books.jsonl", num_documents=20)
    metrics = ("--metrics", "flesch_reading_ease, lix")
    command = ("score", str(corpus), "--out", str(tmp_path / "scores"), *metrics)
    text = call(*command)
    assert re.search(r"^\d+\.\d s", text, re.MULTILINE)
    values = json.loads(call(*command, "--json"))
    assert values["scored_bytes"] == 0
    assert list(values["metrics"]) == ["flesch_reading_ease", "lix"]
    assert f"{values['rows']} passages" in text
    for row in values["metrics"].values():
        assert row["p10"] <= row["median"] <= row["p90"]
        assert all(f"{row[key]:.4g}" in text for key in ("p10", "median", "p90"))
        assert row["none"] == 0


def test_what_a_folder_holds_besides_text_is_told_by_score_and_build(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    write_corpus(folder / "books.jsonl", num_documents=20)
    for name in ("a.pdf", "b.pdf", "c.docx"):
        (folder / name).write_text("x")
    out = tmp_path / "scores"
    command = ("score", str(folder), "--out", str(out), "--metrics", "lix")
    assert "passed over in the folders: 2 .pdf, 1 .docx" in call(*command)
    assert json.loads((out / "scores.json").read_text())["passed_over"] == {".docx": 1, ".pdf": 2}
    (folder / "c.docx").unlink()
    assert json.loads(call(*command, "--json"))["passed_over"] == {".pdf": 2}
    assert json.loads((out / "scores.json").read_text())["passed_over"] == {".pdf": 2}
    store = tmp_path / "store"
    built = call("build", str(folder), "--out", str(store), "--vocab-size", "300")
    assert "'passed_over': {'.pdf': 2}" in built
    report = json.loads((store / "store.json").read_text())["report"]
    assert report["skipped"]["passed_over"] == {".pdf": 2}


def test_score_with_a_run_gives_columns_that_a_curriculum_pays_for(
    world_store: Store, run_folder: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    shutil.copytree(world_store.path, store)
    command = ("score", str(store), "--with", str(run_folder), "--name", "small", "--top-k", "5")
    table = json.loads(call(*command, "--mask", "dropped", "--json"))
    assert list(table["columns"]) == ["loss_mean", "loss_median", "loss_p10", "loss_p90", "salt_ds"]
    assert "small/salt_ds" in call(*command, "--mask", "dropped")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("data: {kind: ceiling, metric: small/loss_mean}", encoding="utf-8")
    paid = table["scoring_flops"] + table["reference_flops"]
    step_flops = json.loads((run_folder / "events.jsonl").read_text().splitlines()[-1])["flops"]
    tokens = 4000 * (2 + paid / step_flops)
    finish = json.loads(
        call(
            "train", str(store), "--rung", "10k", "--tokens", str(tokens), "--batch-blocks", "4",
            "--recipe", str(recipe), "--out", str(tmp_path / "run"), "--json",
        )
    )  # fmt: skip
    assert finish["ledger"]["scoring"] == table["scoring_flops"]
    assert finish["ledger"]["reference"] == table["reference_flops"]


@pytest.mark.parametrize(
    "options",
    [[], ["--and", "runs/b", "--out", "x"], ["--with", "runs/a", "--out", "x"]],
    ids=["no-out", "and-without-with", "with-and-out"],
)
def test_score_says_which_options_belong_together(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = failure(capsys, "score", str(write_corpus(tmp_path / "corpus.jsonl")), *options)
    assert code == 2
    assert "--with" in text
    assert "--out" in text


@pytest.mark.parametrize(
    ("mode", "option", "code"),
    [
        ("corpus", ["--top-k", "3"], 2),
        ("corpus", ["--top-k", "10"], 2),  # the default, but meant for something
        ("corpus", ["--checkpoint", "5"], 2),
        ("corpus", ["--and-checkpoint", "5"], 2),
        ("corpus", ["--mask", "dropped"], 2),
        ("corpus", ["--name", "a"], 2),
        ("corpus", ["--split", "train"], 2),
        ("corpus", ["--replace"], 2),
        ("corpus", ["--ray-address", "auto"], 3),
        ("blocks", ["--metrics", "lix"], 2),
        ("blocks", ["--unit", "document"], 2),
        ("blocks", ["--counts"], 2),
        ("blocks", ["--tokenizer", "t.json"], 2),
        ("blocks", ["--workers", "1"], 2),
        ("blocks", ["--engine", "ray"], 2),
        ("blocks", ["--text-column", "body"], 2),
        ("blocks", ["--on-bad", "skip"], 2),
        ("blocks", ["--bands", "3"], 2),
        ("blocks", ["--report"], 2),
        ("blocks", ["--and-checkpoint", "5"], 3),
        ("blocks", ["--top-k", "0", "--mask", "dropped"], 3),
    ],
)
def test_an_option_of_score_without_effect_is_refused(
    mode: str, option: list[str], code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = write_corpus(tmp_path / "corpus.jsonl", num_documents=2)
    modes = {"corpus": ["--out", str(tmp_path / "out")], "blocks": ["--with", str(tmp_path)]}
    found, text = failure(capsys, "score", str(corpus), *modes[mode], *option)
    assert found == code
    text = " ".join(text.replace("│", " ").split())
    assert "has no effect" in text
    names = [each for each in option if each.startswith("--")]
    assert names[-1] in text or names[-1][2:].replace("-", "_") in text
    assert not (tmp_path / "out").exists()


def test_scores_are_refused_inside_the_corpus_before_anything_is_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "books").mkdir()
    write_corpus(tmp_path / "books" / "a.jsonl")
    out = tmp_path / "books" / "scores"
    code, text = failure(capsys, "score", str(tmp_path / "books"), "--out", str(out))
    assert code != 0
    assert "part of the corpus" in text
    assert not out.exists()


@pytest.mark.parametrize("options", [["--workers", "-1"], ["--report", "--out", "s3://b/c"]])
def test_options_that_cannot_be_meant_cost_nothing(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = write_corpus(tmp_path / "books.jsonl")
    out = tmp_path / "scores"
    assert failure(capsys, "score", str(corpus), "--out", str(out), *options)[0] == 2
    assert not out.exists()


def test_groups_of_metrics_stand_for_their_names(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus.jsonl")
    out = tmp_path / "scores"
    call("score", str(corpus), "--out", str(out), "--metrics", "lix,all", "--json")
    columns = list(json.loads((out / "scores.json").read_text())["columns"])
    assert columns[0] == "lix"
    assert {"reading_age", "zlib_ratio", "corpus_rarity"} < set(columns)
    assert "tokens_per_word" not in columns
    assert len(columns) == len(set(columns))


def test_what_score_cannot_do_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    corpus = write_corpus(tmp_path / "books.jsonl", num_documents=3)
    out = ("--out", str(tmp_path / "scores"))
    code, text = failure(capsys, "score", str(corpus), *out, "--metrics", "lux")
    assert code == 3
    assert "no metric lux; did you mean lix?" in text
    code, text = failure(capsys, "score", str(corpus), *out, "--engine", "slurm")
    assert code == 3
    assert "engine: no such engine; expected local or ray; got slurm" in text
    code, text = failure(capsys, "score", str(tmp_path / "nothing"), *out)
    assert code == 2
    assert "no such file or folder" in text
    assert not (tmp_path / "scores").exists()
    call("score", str(corpus), *out)
    code, text = failure(capsys, "score", str(corpus), *out, "--unit", "document")
    assert code == 6
    assert 'settings.unit: was "passage", now "document"' in text


def test_scoring_does_not_wait_for_torch() -> None:
    modules = "gradatim.scoring.score, gradatim.scoring.engines, gradatim.cli"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules or 'ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
