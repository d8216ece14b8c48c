from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from gradatim.blocks import encoding, packing, table
from gradatim.blocks.build import build, check_large_enough
from gradatim.blocks.difficulty import WITHOUT_WORDS, difficulty_columns
from gradatim.blocks.journal import building_folder, building_lock
from gradatim.blocks.passages import choose_held_out
from gradatim.blocks.spec import StoreSpec
from gradatim.blocks.store import Store
from gradatim.difficulty.counts import count_batch
from gradatim.difficulty.formulas import FORMULAS
from gradatim.difficulty.reading_age import reading_age
from gradatim.errors import InputError, MismatchError, StoreError
from small_corpus import prose, write_corpus

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def spec_of(location: Path | str, **changes: Any) -> StoreSpec:
    settings: dict[str, Any] = {
        "corpus": str(location),
        "tokenizer": {"vocab_size": 400},
        "block_tokens": 32,
        "held_out_fraction": 0.2,
    }
    return StoreSpec.model_validate(settings | changes)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "books.jsonl")


@pytest.fixture(scope="module")
def store(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return build(spec_of(corpus), tmp_path_factory.mktemp("stores") / "store")


def rows_of(store: Store) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(store.path / "blocks.parquet").to_pylist()
    return rows


def content(path: Path) -> dict[str, bytes]:
    """Every byte of a store but the seconds it took."""
    files = {file.name: file.read_bytes() for file in path.iterdir() if file.name != "store.json"}
    description = json.loads((path / "store.json").read_text())
    del description["report"]["seconds"], description["checksum"]
    return files | {"store.json": json.dumps(description).encode()}


def test_a_block_has_the_difficulty_bytes_and_text_of_its_own_tokens(store: Store) -> None:
    table_rows = rows_of(store)
    separator = store.separator_id
    for block_id in range(0, store.num_blocks, 37):
        tokens = store.read([block_id])[0]
        row = table_rows[block_id]
        text = "\n\n".join(
            store.tokenizer.decode(part.tolist())
            for part in np.split(tokens, np.flatnonzero(tokens == separator))
        )
        assert store.text(block_id) == text
        targets = [token for token in tokens[1:].tolist() if token != separator]
        assert row["bytes"] == len(store.tokenizer.decode(targets).encode())
        counts = count_batch([text])
        assert row["reading_age"] == pytest.approx(reading_age(counts).years[0], rel=1e-6)
        for name in ("flesch_reading_ease", "flesch_kincaid_grade"):
            assert row[name] == pytest.approx(FORMULAS[name](counts)[0], rel=1e-6)


def test_text_without_words_counts_as_the_hardest() -> None:
    columns = difficulty_columns(["", "!? -", "The cat sat. It ran."])
    for name, column in columns.items():
        assert column.dtype == np.float32
        assert column[:2].tolist() == [WITHOUT_WORDS[name]] * 2
    assert columns["reading_age"][2] < 10 < columns["reading_age"][0]
    assert columns["flesch_reading_ease"][2] > 80 > columns["flesch_reading_ease"][0]


def test_a_split_shares_no_document_but_those_that_are_cut(store: Store) -> None:
    documents: dict[str, set[str]] = {"train": set(), "held_out": set()}
    for row in rows_of(store):
        documents[row["split"]].update(span["document"] for span in row["spans"])
    shared = documents["train"] & documents["held_out"]
    assert shared == set(store.report["cut_documents"])
    assert len(shared) <= 4  # one of each source and level
    assert len(store.ids("train")) > 4 * len(store.ids("held_out")) / 2 > 0


def test_blocks_of_a_level_rise_in_difficulty_and_keep_levels_apart(store: Store) -> None:
    levels, ages = store.labels("level", "train"), store.column("reading_age", "train")
    assert levels.names == ("easy", "hard")
    for code in (0, 1):
        of_level = ages[levels.codes == code]
        quarters = [part.mean() for part in np.array_split(of_level, 4)]
        assert quarters == sorted(quarters)
        assert quarters[3] > quarters[0] + 1.5
    for row in rows_of(store):
        for span in row["spans"]:
            assert ("hard" if int(span["document"][5:]) % 7 > 3 else "easy") == row["level"]


def test_spans_lead_back_to_the_documents(store: Store, corpus: Path) -> None:
    texts = {row["id"]: row["text"] for row in map(json.loads, corpus.read_text().splitlines())}
    rows = rows_of(store)
    for block_id in range(0, store.num_blocks, 41):
        tokens = store.tokens[block_id].tolist()
        spans = rows[block_id]["spans"]
        ends = [span["start_token"] for span in spans[1:]] + [len(tokens)]
        assert store.column("num_passages")[block_id] == len(spans)
        for span, end in zip(spans, ends, strict=True):
            part = store.vocabulary.text(tokens[span["start_token"] : end]).strip()
            assert part in texts[span["document"]]


def test_the_source_is_that_of_most_bytes(store: Store) -> None:
    for block_id, row in enumerate(rows_of(store)):
        spans = row["spans"]
        num_bytes = store.vocabulary.num_bytes[store.tokens[block_id]].astype(int)
        ends = [span["start_token"] for span in spans[1:]] + [store.block_tokens]
        totals = {"even": 0, "odd": 0}
        for span, end in zip(spans, ends, strict=True):
            source = "even" if int(span["document"][5:]) % 2 == 0 else "odd"
            totals[source] += int(num_bytes[span["start_token"] : end].sum())
        if totals["even"] != totals["odd"]:
            assert row["source"] == max(totals, key=totals.__getitem__)


def test_the_report_accounts_for_every_token(store: Store) -> None:
    report = store.report
    num_passages = sum(report["num_passages"].values())
    dropped = sum(report["dropped_tokens"].values())
    assert store.tokens.size + dropped == report["num_tokens"] + num_passages
    assert all(tokens < store.block_tokens for tokens in report["dropped_tokens"].values())
    assert report["num_documents"] == 60
    assert report["corpus_bytes"] >= sum(report["passage_bytes"].values())
    passage_bytes = sum(report["passage_bytes"].values())
    assert report["bytes_per_token"] == pytest.approx(passage_bytes / report["num_tokens"])
    assert set(report["seconds"]) == {"split", "tokenizer", "tokens", "blocks"}
    assert report["held_out_overlap"]["num_ngrams"] > 0


def test_the_tokenizer_is_trained_without_the_held_out_text(tmp_path: Path) -> None:
    spec = spec_of(tmp_path / "books.jsonl", deduplicate=False, tokenizer={"vocab_size": 270})

    def write(held_out_word: str) -> None:
        with (tmp_path / "books.jsonl").open("w") as lines:
            for index in range(80):
                word = held_out_word if index in held_out else "plain  "
                row = {"id": f"d{index}", "text": word * 50, "source": "ab"[index % 2]}
                lines.write(json.dumps(row) + "\n")

    held_out: set[int] = set()
    write("plain  ")
    split = choose_held_out(spec)
    assert split is not None
    held_out = {index for index in range(80) if split.is_held_out(f"d{index}", [1])[0]}
    assert len(held_out) == 16
    write("zyxwvu ")
    vocab = build(spec, tmp_path / "store").tokenizer.get_vocab()
    assert "plain" in vocab
    assert not any("zy" in token for token in vocab)


def test_duplicates_and_skipped_rows_are_counted(tmp_path: Path) -> None:
    file = write_corpus(tmp_path / "books.jsonl", num_documents=30)
    lines = file.read_text().splitlines()
    again = json.dumps(json.loads(lines[3]) | {"id": "again"})
    file.write_text("\n".join([*lines, again, '{"broken": ', '{"id": "e", "text": " "}']))
    corpus = {"location": str(file), "on_bad": "skip"}
    report = build(spec_of(file, corpus=corpus), tmp_path / "store").report
    assert report["skipped"]["num_bad"] == 1
    assert report["skipped"]["num_blank"] == 1
    assert "books.jsonl:32" in report["skipped"]["places"][0]
    assert report["num_duplicates"] >= 1
    kept = build(spec_of(file, corpus=corpus, deduplicate=False), tmp_path / "kept").report
    difference = sum(kept["num_passages"].values()) - sum(report["num_passages"].values())
    assert difference == report["num_duplicates"]


def test_held_out_text_seen_in_training_is_reported(tmp_path: Path) -> None:
    shared = prose(5, 1500)
    with (tmp_path / "books.jsonl").open("w") as lines:
        for index in range(60):
            row = {"id": f"d{index}", "text": f"Number {index}. {shared}"}
            lines.write(json.dumps(row) + "\n")
    report = build(spec_of(tmp_path / "books.jsonl"), tmp_path / "store").report
    assert report["held_out_overlap"]["seen_fraction"] > 0.7


def test_the_same_call_opens_the_store_at_once(store: Store, corpus: Path) -> None:
    stages: list[str] = []
    before = {file: file.stat().st_mtime_ns for file in store.path.iterdir()}
    again = build(spec_of(corpus), store.path, on_progress=lambda stage, *_: stages.append(stage))
    assert stages == []
    assert again.fingerprint == store.fingerprint
    assert {file: file.stat().st_mtime_ns for file in store.path.iterdir()} == before


def test_a_moved_corpus_is_the_same_corpus(store: Store, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / corpus.name).write_bytes(corpus.read_bytes())
    assert build(spec_of(tmp_path / corpus.name), store.path).fingerprint == store.fingerprint


def test_other_settings_are_refused_with_a_list(store: Store, corpus: Path) -> None:
    spec = spec_of(corpus, block_tokens=64, tokenizer={"vocab_size": 500})
    message = (
        r"another store lies there; block_tokens: was 32, now 64; "
        r"tokenizer.vocab_size: was 400, now 500. Give another path, or replace it with force=True"
    )
    with pytest.raises(MismatchError, match=message):
        build(spec, store.path)


def test_a_changed_corpus_is_refused_then_replaced_with_force(tmp_path: Path) -> None:
    file = write_corpus(tmp_path / "books.jsonl", num_documents=30)
    first = build(spec_of(file), tmp_path / "store")
    file.write_text(file.read_text().replace("lantern", "blanket"))
    with pytest.raises(MismatchError, match=r"corpus file books.jsonl: was .*, now "):
        build(spec_of(file), tmp_path / "store")
    second = build(spec_of(file), tmp_path / "store", force=True)
    second.verify()
    assert second.fingerprint != first.fingerprint
    assert not building_folder(tmp_path / "store").exists()


def test_a_changed_tokenizer_file_is_refused(corpus: Path, store: Store, tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_bytes((store.path / "tokenizer.json").read_bytes())
    spec = spec_of(corpus, tokenizer={"file": str(file)})
    first = build(spec, tmp_path / "store")
    assert first.fingerprint == store.fingerprint
    moved = file.rename(tmp_path / "moved.json")
    moved_spec = spec_of(corpus, tokenizer={"file": str(moved)})
    assert build(moved_spec, tmp_path / "store").fingerprint == first.fingerprint
    content = json.loads(moved.read_text())
    content["model"]["merges"].pop()
    moved.write_text(json.dumps(content))
    with pytest.raises(MismatchError, match=r"tokenizer\.file: was"):
        build(moved_spec, tmp_path / "store")


def test_something_else_at_the_path_is_never_touched(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "thesis.tex").write_text("years of work")
    with pytest.raises(StoreError, match="something else than a block store"):
        build(spec_of(corpus), tmp_path / "store", force=True)
    assert (tmp_path / "store" / "thesis.tex").read_text() == "years of work"


def test_two_processes_do_not_build_the_same_store(corpus: Path, tmp_path: Path) -> None:
    with (
        building_lock(tmp_path / "store"),
        pytest.raises(StoreError, match="another process is building this store"),
    ):
        build(spec_of(corpus), tmp_path / "store")


def write_sources(folder: Path) -> int:
    """749 plain texts in six folders of very unequal size; returns their bytes."""
    draw = random.Random(2)
    numbers = {"prose": 560, "plays": 120, "news": 40, "laws": 17, "poems": 8, "songs": 4}
    num_bytes = 0
    for place, (source, number) in enumerate(numbers.items()):
        (folder / source).mkdir(parents=True)
        for index in range(number):
            text = prose(7 * index + place, draw.randint(300, 6000))
            (folder / source / f"{index}.txt").write_text(text)
            num_bytes += len(text)
    return num_bytes


def test_749_files_of_six_sources_each_give_their_share(tmp_path: Path) -> None:
    write_sources(tmp_path / "texts")
    spec = spec_of(tmp_path / "texts", held_out_fraction=0.05)
    report = build(spec, tmp_path / "store").report
    by_source = report["held_out"]["source"]
    assert set(by_source) == {"prose", "plays", "news", "laws", "poems", "songs"}
    for counts in by_source.values():
        assert counts["held_out_bytes"] / counts["bytes"] == pytest.approx(0.05, rel=1 / 3)
    assert sum(counts["bytes"] for counts in by_source.values()) == sum(
        report["passage_bytes"].values()
    )
    num_held_out = sum(counts["held_out_blocks"] for counts in by_source.values())
    assert num_held_out == report["num_blocks"]["held_out"]
    assert report["held_out"]["level"] == {}


@pytest.mark.parametrize("num_files", [1, 21])
def test_a_few_files_have_held_out_text(num_files: int, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    for index in range(num_files):
        (tmp_path / "texts" / f"{index}.txt").write_text(prose(index, 240_000 // num_files))
    store = build(spec_of(tmp_path / "texts", held_out_fraction=0.05), tmp_path / "store")
    num_bytes = store.report["passage_bytes"]
    assert num_bytes["held_out"] / sum(num_bytes.values()) == pytest.approx(0.05, rel=1 / 3)
    assert len(store.ids("held_out")) > 10
    assert len(store.report["cut_documents"]) == (1 if num_files == 1 else 0)


def test_a_held_out_text_smaller_than_a_block_is_refused_and_the_remedy_works(
    tmp_path: Path,
) -> None:
    file = write_corpus(tmp_path / "books.jsonl", num_documents=12)
    settings: dict[str, Any] = {"block_tokens": 300, "held_out_fraction": 0.02}
    with pytest.raises(InputError, match=r"held-out text does not fill one block") as caught:
        build(spec_of(file, **settings), tmp_path / "store")
    assert not (tmp_path / "store").exists()
    message = str(caught.value)
    remedy = re.search(r"Set held_out_fraction to ([0-9.]+) \(", message)
    assert remedy, message
    settings["held_out_fraction"] = float(remedy[1])
    assert len(build(spec_of(file, **settings), tmp_path / "store").ids("held_out")) > 0


def test_a_corpus_smaller_than_a_block_is_refused_and_the_remedy_works(tmp_path: Path) -> None:
    file = write_corpus(tmp_path / "books.jsonl", num_documents=30)
    with pytest.raises(
        InputError, match=r"does not fill one block.*at least 100000 tok.*got \d+\."
    ) as caught:
        build(spec_of(file, block_tokens=100_000), tmp_path / "store")
    assert not (tmp_path / "store").exists()
    remedy = re.search(r"Set block_tokens to (\d+) \(", str(caught.value))
    assert remedy
    store = build(spec_of(file, block_tokens=int(remedy[1])), tmp_path / "store")
    assert min(len(store.ids("train")), len(store.ids("held_out"))) > 0


def test_a_corpus_too_small_is_told_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_corpus(tmp_path / "books.jsonl", num_documents=12)
    with pytest.raises(InputError, match=r"held-out text does not fill.*Set held_out_fraction to"):
        check_large_enough(spec_of(file, block_tokens=300, held_out_fraction=0.02))
    check_large_enough(spec_of(file))
    assert [path.name for path in tmp_path.iterdir()] == ["books.jsonl"]
    monkeypatch.setattr("gradatim.blocks.build.FEW_BLOCKS", 0)  # a corpus that is large enough
    check_large_enough(spec_of(file, block_tokens=300, held_out_fraction=0.02))


def test_an_empty_level_is_none(tmp_path: Path) -> None:
    with (tmp_path / "books.jsonl").open("w") as lines:
        for index in range(60):
            row = {"id": f"d{index}", "text": prose(index, 900), "level": ["", None][index % 2]}
            lines.write(json.dumps(row) + "\n")
    store = build(spec_of(tmp_path / "books.jsonl"), tmp_path / "store")
    assert store.labels("level").names == ("",)
    assert set(store.report["dropped_tokens"]) == {"train/none", "held_out/none"}
    assert pq.read_table(store.path / "blocks.parquet")["level"].null_count == store.num_blocks


def test_columns_of_plain_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(prose(1, 5000))
    corpus = {"location": str(tmp_path / "a.txt"), "text_column": "nosuch"}
    message = r"corpus\.text_column: plain text has no columns; got nosuch\. Leave it out"
    with pytest.raises(InputError, match=message):
        build(spec_of(tmp_path, corpus=corpus), tmp_path / "store")


def test_a_text_of_one_passage_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("A few words.")
    with pytest.raises(InputError, match=r"does not fill one block.*Give more text$"):
        build(spec_of(tmp_path / "one.txt"), tmp_path / "store")


def test_a_corpus_that_changes_during_the_build_is_refused(tmp_path: Path) -> None:
    file = write_corpus(tmp_path / "books.jsonl", num_documents=30)

    def meddle(stage: str, *_: int) -> None:
        if stage == "tokens" and "too late" not in file.read_text():
            file.write_text(file.read_text() + '{"id": "late", "text": "too late"}\n')

    with pytest.raises(InputError, match=r"books\.jsonl: the file changed while it was read"):
        build(spec_of(file), tmp_path / "store", on_progress=meddle)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("stage", ["split", "tokenizer", "tokens", "blocks"])
def test_an_interrupted_build_goes_on_with_the_stage_it_was_in(
    stage: str, store: Store, corpus: Path, tmp_path: Path
) -> None:
    def interrupt(at: str, *_: int) -> None:
        if at == stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(spec_of(corpus), tmp_path / "store", on_progress=interrupt)
    with pytest.raises(StoreError, match=r"no block store.*got a build that has not finished"):
        Store.open(tmp_path / "store")
    stages: list[str] = []
    build(spec_of(corpus), tmp_path / "store", on_progress=lambda at, *_: stages.append(at))
    all_stages = ["split", "tokenizer", "tokens", "blocks"]
    assert list(dict.fromkeys(stages)) == all_stages[all_stages.index(stage) :]
    assert content(tmp_path / "store") == content(store.path)
    assert not building_folder(tmp_path / "store").exists()


def test_the_leftovers_of_another_build_are_not_used(
    store: Store, corpus: Path, tmp_path: Path
) -> None:
    def interrupt(at: str, *_: int) -> None:
        if at == "blocks":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(spec_of(corpus, seed=5), tmp_path / "store", on_progress=interrupt)
    build(spec_of(corpus), tmp_path / "store")
    assert content(tmp_path / "store") == content(store.path)


def test_the_same_bytes_whatever_the_batch_sizes(
    store: Store, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "BATCH_PASSAGES", 7)
    monkeypatch.setattr(packing, "ROWS_PER_GROUP", 5)
    monkeypatch.setattr(table, "CHUNK_BLOCKS", 11)
    monkeypatch.setattr(table, "GROUP_BLOCKS", 30)
    other = build(spec_of(corpus), tmp_path / "store")
    other.verify()
    assert other.fingerprint == store.fingerprint
    assert rows_of(other) == rows_of(store)
    assert pq.read_metadata(other.path / "blocks.parquet").num_row_groups > 5
    assert (other.path / "tokens.bin").read_bytes() == (store.path / "tokens.bin").read_bytes()


def test_the_graded_world_brings_its_splits_levels_and_tasks(world_store: Store) -> None:
    assert world_store.labels("split").names == ("held_out", "out_of_distribution", "train")
    assert world_store.labels("level").names == tuple("abcdef")
    tasks = world_store.tasks()
    assert len(tasks) == 12 * 6 * 2
    assert {task.split for task in tasks} == {"held_out", "out_of_distribution"}
    for task in tasks:
        assert task.chance == 1 / len(task.choices)
        assert 0 <= task.answer_index < len(task.choices)
        assert task.num_hops >= 0
    assert build(
        StoreSpec.model_validate(world_store.description.settings), world_store.path
    ).fingerprint == (world_store.fingerprint)


@pytest.mark.skipif(not (DATA / "books.parquet").exists(), reason="no ../shared/data here")
def test_real_stories_become_a_store(tmp_path: Path) -> None:
    spec = StoreSpec.model_validate(
        {
            "corpus": {"location": str(DATA / "onestop.parquet"), "level_column": "level"},
            "tokenizer": {"vocab_size": 1024, "sample_bytes": 500_000},
            "block_tokens": 128,
            "held_out_fraction": 0.1,
        }
    )
    store = build(spec, tmp_path / "store")
    ages = store.column("reading_age")
    levels = store.labels("level")
    means = {level: ages[levels.codes == code].mean() for code, level in enumerate(levels.names)}
    assert means["elementary"] < means["intermediate"] < means["advanced"]
    assert store.report["bytes_per_token"] > 2.5
    assert np.isfinite(ages).all()
