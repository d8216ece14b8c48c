"""Damage of every kind in every file: one line that names the file, or the same results.

What decides a result is compared with its checksum when it is read. The files that decide nothing
are `segments.jsonl`, `timings.jsonl` and `lock`: of those, only a traceback is wrong.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gradatim import verbs
from gradatim.blocks.description import write_description
from gradatim.blocks.model_scores import ScoreColumn, ScoreTable, write_table
from gradatim.blocks.schema import NUMBERS, TEXTS
from gradatim.blocks.store import Store
from gradatim.difficulty.model_scores import BlockScores
from gradatim.errors import GradatimError, MismatchError, RecordError
from gradatim.record import tables
from gradatim.record.read import Record
from gradatim.record.spec import read_spec, write_spec
from gradatim.study.folder import (
    StudyIndex,
    folder_name,
    read_study,
    read_study_file,
    write_study_file,
)
from gradatim.train.checkpoint import load_network, read_checkpoint
from gradatim.train.explain import explain
from gradatim.train.run import train
from tiny_runs import HeldOutLoss, TinyStore, tiny_spec

STEPS, STOPPED_AT = 6, 4


def flip(share: float) -> Callable[[Path, Path], None]:
    """Turn one bit so far into the file."""

    def damage(path: Path, _other: Path) -> None:
        content = bytearray(path.read_bytes())
        content[min(int(share * len(content)), len(content) - 1)] ^= 1
        path.write_bytes(content)

    return damage


def truncate(path: Path, _other: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: 2 * len(content) // 3])


def empty(path: Path, _other: Path) -> None:
    path.write_bytes(b"")


def swap(path: Path, other: Path) -> None:
    shutil.copyfile(other, path)


def folder(path: Path, _other: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


DAMAGES = {
    **{f"flip at {share}": flip(share) for share in (0, 0.13, 0.4, 0.62, 0.87, 1)},
    "truncate": truncate,
    "empty": empty,
    "swap": swap,
    "folder": folder,
}


def ends(do: Callable[[], Any]) -> Any:
    """What it gives, or the one line of its error."""
    try:
        found = do()
    except GradatimError as error:
        found = error
    assert not isinstance(found, GradatimError) or "\n" not in str(found), found
    return found


def assert_named(error: GradatimError, *names: str) -> None:
    assert any(name in str(error) for name in names), error


# Runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finished and unfinished runs of two seeds."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("runs")
    for seed in (1, 2):
        for state, stop in (("finished", None), ("unfinished", STOPPED_AT)):
            train_tiny(root / f"{state} {seed}", seed=seed, stop_after_steps=stop)
    return root


def train_tiny(path: Path, *, seed: int = 1, **keywords: Any) -> Record:
    store = TinyStore()
    spec = tiny_spec(STEPS, seed=seed, checkpoint_every_fraction=0.5, keep_checkpoints=1)
    return train(spec, path, store, evaluate=HeldOutLoss(store), **keywords)  # type: ignore[arg-type]


def results(path: Path) -> list[Any]:
    """What a finished run says of itself, as bytes and numbers."""
    record = Record.read(path)
    assert record.is_finished
    finish = {key: value for key, value in (record.finish or {}).items() if key != "hashes"}
    weights = load_network(path).state_dict()
    return [
        finish,
        record.spec.model_dump(),
        tables.steps(record).rows(),
        tables.evaluations(record).rows(),
        record.drawn_blocks().tobytes(),
        record.block_losses().tobytes(),
        {name: tensor.numpy().tobytes() for name, tensor in weights.items()},
        [row["loss_nats"] for row in explain(path, 2, store=TinyStore())],  # type: ignore[arg-type]
    ]


def files_of(path: Path) -> Iterator[str]:
    for file in sorted(path.rglob("*")):
        if file.is_file():
            yield str(file.relative_to(path))


RUN_FILES = [
    "spec.yaml", "events.jsonl", "blocks.bin", "losses.bin", "segments.jsonl", "timings.jsonl",
    "lock", "checkpoints/latest", "checkpoints/{step}/state.json",
    "checkpoints/{step}/weights.safetensors", "checkpoints/{step}/curriculum.npz",
]  # fmt: skip


def damaged_run(runs: Path, tmp_path: Path, state: str, name: str, damage: str) -> Path:
    path = shutil.copytree(runs / f"{state} 1", tmp_path / "run", dirs_exist_ok=True)
    name = name.format(step=(path / "checkpoints" / "latest").read_text())
    DAMAGES[damage](path / name, runs / f"{state} 2" / name)
    return path


@pytest.mark.parametrize("name", RUN_FILES)
def test_damage_in_a_finished_run_is_named_or_changes_nothing(
    runs: Path, tmp_path: Path, name: str
) -> None:
    whole = results(runs / "finished 1")
    for damage in DAMAGES:
        if name == "lock" and damage.startswith(("flip", "swap")):
            continue
        path = damaged_run(runs, tmp_path / damage, "finished", name, damage)
        is_finished = ends(lambda path=path: Record.read(path).is_finished)
        if is_finished is False:  # its last line is gone, so it goes on, to the same results
            assert name == "events.jsonl"
            again = ends(lambda path=path: train_tiny(path))
            if isinstance(again, GradatimError):
                assert_named(again, "events.jsonl")
                continue
        found = ends(lambda path=path: results(path))
        if isinstance(found, GradatimError):
            parts = ("step-0000", "latest") if name.startswith("checkpoints") else ()
            assert_named(found, Path(name).name, *parts)
        else:
            assert found == whole, damage


@pytest.mark.parametrize("name", RUN_FILES)
def test_damage_in_an_unfinished_run_is_named_or_changes_nothing(
    runs: Path, tmp_path: Path, name: str
) -> None:
    whole = results(runs / "finished 1")
    for damage in DAMAGES:
        if name == "lock" and damage.startswith(("flip", "swap")):
            continue
        path = damaged_run(runs, tmp_path / damage, "unfinished", name, damage)
        before = ends(lambda path=path: explain(path, 2, store=TinyStore()))  # type: ignore[arg-type]
        if isinstance(before, GradatimError):
            assert "is damaged" in str(before) or "run" in str(before)
        found = ends(lambda path=path: train_tiny(path))
        if isinstance(found, GradatimError):
            parts = ("step-0000", "latest") if name.startswith("checkpoints") else ()
            assert_named(found, Path(name).name, "what it was started with has changed", *parts)
            if damage.startswith("flip"):
                assert ends(lambda path=path: [c.error for c in verbs.check(path)]) != [None] * 3
        else:
            assert results(path) == whole, damage


def test_a_hole_in_what_a_run_learned_from_is_seen_before_it_is_called_finished(
    tmp_path: Path,
) -> None:
    train_tiny(tmp_path, stop_after_steps=STOPPED_AT)
    flip(0.5)(tmp_path / "losses.bin", tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in ("events.jsonl", "losses.bin")}
    with pytest.raises(RecordError, match=r"losses\.bin: is damaged: it is not as it was written"):
        train_tiny(tmp_path)
    assert before == {name: (tmp_path / name).read_bytes() for name in before}


def test_losses_that_change_while_the_run_goes_on_are_seen_at_its_end(tmp_path: Path) -> None:
    def damage(progress: float, _loss_nats: float) -> None:
        if 0.6 < progress < 0.8:
            flip(0)(tmp_path / "losses.bin", tmp_path)

    with pytest.raises(RecordError, match=r"losses\.bin: is damaged: it is not as it was written"):
        train_tiny(tmp_path, on_progress=damage)
    assert not Record.read(tmp_path).is_finished


@pytest.mark.parametrize(
    ("old", "new", "is_named"),
    [
        ("arm: ceiling", "arm: uniform", True),
        ("seed: 1", "seed: 3", True),
        ("absolute_path: /", "absolute_path: /moved/", False),
    ],
)
def test_a_specification_is_as_it_was_written_but_for_the_path_of_the_store(
    runs: Path, tmp_path: Path, old: str, new: str, is_named: bool
) -> None:
    path = shutil.copytree(runs / "finished 1", tmp_path / "run") / "spec.yaml"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    found = ends(lambda: Record.read(path.parent))
    assert isinstance(found, RecordError if is_named else Record)
    if is_named:
        assert_named(found, "spec.yaml: is damaged: it is not as it was written")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"loss_nats":', b'"loss_nats":NaN,"was":'),
        (b'"loss_nats":', b'"loss_nats":"3","was":'),
        (b'"loss_nats":', b'"loss_nats":1e999,"was":'),
        (b'"event":"step"', b'"event":"stop"'),
        (b'"event":"step"', b'"event":["step"]'),
        (b'"step":2', b'"step":2.5'),
        (b'"step":2', b'"step":true'),
        (b'"step":2', b'"step":null'),
        (b'"progress":', b'"progress":{},"was":'),
        (b'"bits_per_byte":{', b'"bits_per_byte":[],"was":{'),
        (b'"bits_per_byte":{', b'"bits_per_byte":{"b":"x"},"was":{'),
        (b'"bits_per_byte":{', b'"tasks":{"a":{"accuracy":1}},"bits_per_byte":{'),
        (b'"bits_per_byte":{', b'"tasks":[1],"bits_per_byte":{'),
        (b'"event":"evaluate"', b'"event":"evaluate","x":' + b"[" * 100_000),
    ],
)
def test_values_of_other_types_are_named_with_their_line(
    runs: Path, tmp_path: Path, old: bytes, new: bytes
) -> None:
    path = shutil.copytree(runs / "unfinished 1", tmp_path / "run") / "events.jsonl"
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    with pytest.raises(RecordError, match=r"events\.jsonl, line \d+: is damaged; expected a JSON"):
        Record.read(path.parent)


@pytest.mark.parametrize("name", ["segments.jsonl", "timings.jsonl"])
@pytest.mark.parametrize(
    "line", [b'{"segment":[],"seconds":1}', b'{"segment":0,"seconds":"1"}', b'{"segment":0}']
)
def test_segments_and_timings_of_other_types_are_named(
    runs: Path, tmp_path: Path, name: str, line: bytes
) -> None:
    path = shutil.copytree(runs / "finished 1", tmp_path / "run") / name
    path.write_bytes(line + b"\n")
    found = ends(lambda: results(path.parent))
    if isinstance(found, GradatimError):
        assert_named(found, f"{name}, line 1")
    else:
        assert (name, line) == ("segments.jsonl", b'{"segment":0}')


def test_libraries_that_are_none_are_named(runs: Path, tmp_path: Path) -> None:
    path = shutil.copytree(runs / "finished 1", tmp_path / "run")
    (path / "segments.jsonl").write_text('{"segment":0,"libraries":"torch"}\n')
    with pytest.raises(RecordError, match=r"segments\.jsonl, line 1"):
        Record.read(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"{", b"a: !!python/object:os.system {}", b"- 1", b"? {}\n: 1",
     b"schema_version: 2\nstore: 1\nchecksum: a", b"schema_version: 2\nseed: 2020-99-99",
     b"[" * 2_000],
)  # fmt: skip
def test_a_specification_that_is_none_is_named(runs: Path, tmp_path: Path, content: bytes) -> None:
    path = shutil.copytree(runs / "finished 1", tmp_path / "run")
    (path / "spec.yaml").write_bytes(content)
    for do in (lambda: Record.read(path), lambda: train_tiny(path), lambda: verbs.explain(path, 1)):
        error = ends(do)
        assert isinstance(error, RecordError)
        assert_named(error, "spec.yaml: is not a run specification")


@pytest.mark.parametrize(
    ("name", "named"),
    [("lock", "lock: cannot be opened"), ("checkpoints", "latest: cannot be read"),
     ("events.jsonl", "events.jsonl: cannot be opened")],
)  # fmt: skip
def test_what_is_something_else_is_named(runs: Path, tmp_path: Path, name: str, named: str) -> None:
    path = shutil.copytree(runs / "unfinished 1", tmp_path / "run")
    if name == "checkpoints":
        shutil.rmtree(path / name)
        (path / name).write_text("")
    else:
        folder(path / name, path)
    with pytest.raises(GradatimError, match=named):
        train_tiny(path)


def test_what_follows_the_finish_is_seen(runs: Path, tmp_path: Path) -> None:
    path = shutil.copytree(runs / "finished 1", tmp_path / "run") / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    for tail in (lines[1], lines[1][:-5] + b"\n", lines[-1]):
        path.write_bytes(b"".join(lines) + tail)
        with pytest.raises(RecordError, match=r"events\.jsonl"):
            Record.read(path.parent)


def test_every_single_bit_of_the_last_event_is_seen_or_changes_nothing(
    runs: Path, tmp_path: Path
) -> None:
    path = shutil.copytree(runs / "finished 1", tmp_path / "run") / "events.jsonl"
    whole, content = Record.read(path.parent), path.read_bytes()
    for place in range(content.rindex(b'{"event"'), len(content), 3):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        found = ends(lambda: Record.read(path.parent))
        if isinstance(found, Record) and found.finish is not None and whole.finish is not None:
            del found.finish["hashes" if "hashes" in found.finish else list(found.finish)[-1]]
            expected = {key: value for key, value in whole.finish.items() if key != "hashes"}
            assert found.finish == expected
        elif isinstance(found, Record):
            assert not found.is_finished


# Stores


@pytest.fixture(scope="module")
def stores(world_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with scores, and another of the same sizes."""
    root = tmp_path_factory.mktemp("stores")
    for name, first in (("store", 0.0), ("other", 1.0)):
        path = shutil.copytree(world_store.path, root / name)
        ids = np.arange(world_store.num_blocks)
        values = first + ids / len(ids)
        description = ScoreTable(
            name="ref",
            store_fingerprint=world_store.fingerprint,
            splits=("train",),
            num_blocks=len(ids),
            num_null={},
            columns={"loss": ScoreColumn(unit="nats", higher_is="harder", describes="loss")},
            settings={},
            sources=(),
            scoring_flops=1.0,
            reference_flops=1.0,
        )
        write_table(path, description, [(ids, {"loss": scores_of(values)})])
    other = root / "other"
    tokens = np.fromfile(other / "tokens.bin", "<u2")
    tokens[::2] = tokens[::-2]
    tokens.tofile(other / "tokens.bin")
    (other / "tokenizer.json").write_text(
        (other / "tokenizer.json").read_text().replace('"e":', '"E":', 1)
    )
    shutil.copyfile(other / "tokens.bin", other / "checksums.bin")
    (other / "tasks.jsonl").write_bytes((other / "tasks.jsonl").read_bytes()[:-1] + b" \n")
    write_description(
        other,
        world_store.description.model_copy(update={"fingerprint": "another", "checksums": {}}),
    )
    shutil.copyfile(other / "scores" / "ref.parquet", other / "blocks.parquet")
    return root


def scores_of(values: np.ndarray[Any, Any]) -> BlockScores:
    return BlockScores(values, np.zeros(len(values), bool))


def content_of(path: Path) -> list[Any]:
    """What a run can see of a store, as bytes."""
    store = Store.open(path)
    return [
        store.fingerprint,
        *(store.column(name).tobytes() for name in (*NUMBERS, "ref/loss")),
        *((labels.names, labels.codes.tobytes()) for labels in map(store.labels, TEXTS)),
        store.bands(4).tobytes(),
        store.read(np.arange(store.num_blocks)).tobytes(),
        [store.text(block_id) for block_id in range(0, store.num_blocks, 50)],
        store.tasks(),
        store.tokenizer_path.name,
        store.vocabulary.num_bytes.tobytes(),
    ]


STORE_FILES = {
    "tokens.bin": "tokens.bin",
    "checksums.bin": "(tokens|checksums).bin|blocks.parquet",
    "blocks.parquet": "blocks.parquet",
    "tokenizer.json": "tokenizer.json",
    "tasks.jsonl": "tasks.jsonl",
    "store.json": "store.json|this is no block store|footer",
    "scores/ref.json": "scores.ref|table of scores",
    "scores/ref.parquet": "scores/ref.parquet",
}


@pytest.mark.parametrize("name", STORE_FILES)
def test_damage_in_a_store_is_named_or_changes_nothing(
    stores: Path, tmp_path: Path, name: str
) -> None:
    path = shutil.copytree(stores / "store", tmp_path / "store")
    whole = content_of(path)
    places = [flip(share) for share in np.linspace(0, 1, 25)]
    for number, damage in enumerate([*places, *DAMAGES.values()]):
        damage(path / name, stores / "other" / name)
        found = ends(lambda: content_of(path))
        if isinstance(found, GradatimError):
            with pytest.raises(GradatimError, match=STORE_FILES[name]):
                raise found
        else:
            assert found == whole, number
        assert isinstance(found, GradatimError) or damage is not swap
        if (path / name).is_dir():
            (path / name).rmdir()
        shutil.copyfile(stores / "store" / name, path / name)
    assert [checked.error for checked in verbs.check(path)] == [None, None]


# Studies and the verb


@pytest.fixture
def study(runs: Path, tmp_path: Path) -> Path:
    specs = [tiny_spec(STEPS, seed=seed) for seed in (1, 2)]
    folders = [tmp_path / "runs" / folder_name(spec) for spec in specs]
    StudyIndex.of("tiny", None, zip(specs, folders, strict=True)).write(tmp_path)
    for spec, folder in zip(specs, folders, strict=True):
        shutil.copytree(runs / f"finished {spec.seed}", folder)
    write_study_file(tmp_path, "name: tiny\n")
    return tmp_path


def test_damage_in_the_index_of_a_study_is_named(study: Path) -> None:
    path = study / "study.json"
    content = path.read_bytes()
    for damage in DAMAGES.values():
        if damage is swap:
            continue
        damage(path, path)
        error = ends(lambda: read_study(study))
        if isinstance(error, GradatimError):
            assert_named(error, "study.json")
        else:
            assert len(error[0]) == 2
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        path.write_bytes(content)
    for key, value in {"runs": [{}], "name": 3, "device": None, "question": []}.items():
        changed = json.loads(content) | {key: value}
        del changed["checksum"]
        path.write_text(json.dumps(changed))
        with pytest.raises(RecordError, match=r"study\.json: is damaged"):
            read_study(study)


def test_damage_in_the_file_of_a_study_is_named(study: Path, stores: Path) -> None:
    path = study / "study.yaml"
    content = path.read_bytes()
    assert read_study_file(study) == "name: tiny\n"
    for damage in (flip(0.1), flip(0.9), *DAMAGES.values()):
        damage(path, stores / "store" / "store.json")
        with pytest.raises(RecordError, match=r"study\.yaml: is missing, or not as it was written"):
            read_study_file(study)
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.write_bytes(content)


def test_a_run_in_the_place_of_another_is_seen(study: Path) -> None:
    one, two = sorted((study / "runs").iterdir())
    shutil.copyfile(one / "spec.yaml", two / "spec.yaml")
    with pytest.raises(RecordError, match=r"spec\.yaml: is of another run than events"):
        read_study(study)
    shutil.rmtree(two)
    shutil.copytree(one, two)
    with pytest.raises(RecordError, match=r"holds another run than the study.s index says"):
        read_study(study)


def test_check_says_of_every_part_whether_it_is_whole(study: Path, stores: Path) -> None:
    assert [c.error is None for c in verbs.check(study)] == [True] * 8 + [False]  # no such store
    one, _two = sorted((study / "runs").iterdir())
    flip(0.5)(one / "blocks.bin", one)
    damaged = [str(c.error) for c in verbs.check(study) if c.error is not None]
    assert len(damaged) == 3
    assert "blocks.bin: is damaged" in damaged[0]
    assert "blocks.bin: is damaged" in damaged[1]  # its checkpoint knows it too
    with pytest.raises(
        RecordError, match=r"is no store, run or study; expected one of store\.json"
    ):
        verbs.check(study / "runs")


def test_a_report_refuses_a_store_that_is_not_the_runs(
    study: Path, stores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(stores / "store", study / "nowhere")
    for folder in (study / "runs").iterdir():
        spec = read_spec(folder)
        there = spec.store.model_copy(update={"path": str(study / "nowhere")})
        write_spec(folder, spec.model_copy(update={"store": there}))
    with pytest.raises(MismatchError, match="nowhere: the block store has changed"):
        verbs.report(study)


def test_a_run_is_read_whole_by_its_checkpoint(runs: Path) -> None:
    checkpoint = read_checkpoint(runs / "unfinished 1")
    assert checkpoint is not None
    assert checkpoint.hashes.keys() == checkpoint.offsets.keys()
