"""Scores of a corpus: complete, the same however they were made, and refused where they differ."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import polars as pl
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from gradatim.corpus import pieces as pieces_module
from gradatim.corpus.documents import read_documents
from gradatim.corpus.passages import cut
from gradatim.corpus.storage import OutputFolder
from gradatim.difficulty.surface import DEFAULT_METRICS, surface_columns
from gradatim.errors import InputError, MismatchError, SpecError, StoreError
from gradatim.scoring.columns import COLUMNS
from gradatim.scoring.engines import LocalEngine
from gradatim.scoring.folder import LOCK
from gradatim.scoring.reading import read_description, read_scores, read_texts
from gradatim.scoring.score import score
from gradatim.scoring.spec import ScoringSpec
from gradatim.scoring.word_counts import merge_words, read_counts, words_name, write_counts
from score_child import PIECE_BYTES
from small_corpus import prose, write_corpus

CHILD = Path(__file__).with_name("score_child.py")


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces_module, "MIN_PIECE_BYTES", 10_000)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "books.jsonl", num_documents=30)


def spec_of(corpus: Path | str, **settings: Any) -> ScoringSpec:
    return ScoringSpec.model_validate({"corpus": str(corpus)} | settings)


def files_of(folder: Path) -> dict[str, bytes]:
    """What a folder holds but the lock, which names the process that was there last."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != LOCK}


@pytest.mark.usefixtures("small_pieces")
def test_every_passage_gets_the_row_that_its_text_alone_would_get(
    corpus: Path, tmp_path: Path
) -> None:
    spec = spec_of(corpus)
    scored = score(spec, tmp_path / "scores")
    passages = [
        passage
        for document in read_documents(corpus)
        for passage in cut(document, max_bytes=2000, min_bytes=200)
    ]
    rows = read_scores(tmp_path / "scores").collect()
    assert rows["part"].max() > 3
    assert rows["id"].to_list() == [passage.document_id for passage in passages]
    assert rows["source"].to_list() == [passage.source for passage in passages]
    assert rows["level"].to_list() == [passage.level for passage in passages]
    assert rows["num_bytes"].to_list() == [len(passage.text.encode()) for passage in passages]
    alone = surface_columns(pa.array([passage.text for passage in passages]), spec.surface)
    for name in (*spec.metrics, "is_prose", "not_prose_reason"):
        assert rows[name].to_list() == alone[name].to_pylist(), name
    texts = {document.id: document.text.encode() for document in read_documents(corpus)}
    for row, passage in zip(rows.iter_rows(named=True), passages, strict=True):
        assert texts[row["id"]][row["start_byte"] :].startswith(passage.text.encode())
    places = list(zip(rows["part"].to_list(), rows["row"].to_list(), strict=True))
    chosen = random.Random(0).sample(range(len(places)), 12)
    found = read_texts(tmp_path / "scores", [places[index] for index in chosen])
    assert found == [passages[index].text for index in chosen]
    assert scored.summary.num_rows == len(passages)
    assert scored.scored_bytes == scored.summary.num_bytes == rows["num_bytes"].sum()


@pytest.mark.usefixtures("small_pieces")
def test_documents_counts_and_all_descriptions(corpus: Path, tmp_path: Path) -> None:
    names = (*DEFAULT_METRICS, "corpus_rarity")
    score(spec_of(corpus, unit="document", counts=True, metrics=names), tmp_path / "scores")
    rows = read_scores(tmp_path / "scores").collect()
    assert len(rows) == 30
    assert set(rows["start_byte"]) == {0}
    assert rows.schema["num_words"] == pl.Int64
    content = read_description(tmp_path / "scores")
    assert list(content["columns"]) == list(names)
    for name in names:
        assert rows.schema[name] == pl.Float32
        assert content["columns"][name]["describes"]
        known = rows[name].drop_nulls().sort().to_list()
        quantiles = content["quantiles"][name]
        assert quantiles["num_values"] == len(known)
        assert quantiles["values"][0] == known[0]
        assert quantiles["values"][50] == known[(len(known) + 1) // 2 - 1]
        assert quantiles["values"][100] == known[-1]
        assert len(content["bands"]["edges"][name]) == 9
    assert sum(part["num_rows"] for part in content["parts"]) == content["num_rows"] == 30
    assert rows["corpus_rarity"].min() > 1


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("rarity", [False, True])
def test_workers_and_repetition_change_no_byte(corpus: Path, tmp_path: Path, rarity: bool) -> None:
    metrics = ("reading_age", "corpus_rarity") if rarity else ("reading_age",)
    spec = spec_of(corpus, metrics=metrics)
    for workers in (1, 2, 5):
        score(spec, tmp_path / str(workers), num_workers=workers)
    wanted = files_of(tmp_path / "1")
    assert ("words.parquet" in wanted) == rarity
    assert not any(name.startswith("words-") for name in wanted)
    assert files_of(tmp_path / "2") == files_of(tmp_path / "5") == wanted
    again = score(spec, tmp_path / "1")
    assert again.scored_bytes == 0
    assert files_of(tmp_path / "1") == wanted


def start(spec_file: Path, folder: Path, engine: str = "local") -> subprocess.Popen[str]:
    """A scoring process that has done its imports."""
    process = subprocess.Popen(
        [sys.executable, str(CHILD), str(spec_file), str(folder), engine],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line == "begins\n", process.communicate()[1]
    return process


def test_a_scoring_killed_again_and_again_ends_in_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces_module, "MIN_PIECE_BYTES", PIECE_BYTES)
    corpus = write_corpus(tmp_path / "books.jsonl", num_documents=60, document_bytes=16_000)
    metrics = ("reading_age", "flesch_reading_ease", "corpus_rarity")
    spec_file = tmp_path / "spec.json"
    spec_file.write_text(spec_of(corpus, metrics=metrics).model_dump_json())
    score(spec_of(corpus, metrics=metrics), tmp_path / "undisturbed")
    wanted = files_of(tmp_path / "undisturbed")
    num_parts = sum(name.startswith("part-") for name in wanted)
    assert num_parts > 10
    killed = tmp_path / "killed"
    for stage in ("words-*", "part-*", "part-*"):
        process = start(spec_file, killed)
        enough = len(list(killed.glob(stage))) + random.randint(1, num_parts // 3)
        while process.poll() is None and len(list(killed.glob(stage))) < enough:
            time.sleep(0.001)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        for path in killed.glob("part-*.parquet"):
            assert path.read_bytes() == wanted[path.name]
    process = start(spec_file, killed)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert files_of(killed) == wanted


def test_ray_writes_the_same_bytes_though_a_worker_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    monkeypatch.setattr(pieces_module, "MIN_PIECE_BYTES", PIECE_BYTES)
    corpus = write_corpus(tmp_path / "books.jsonl", num_documents=60, document_bytes=16_000)
    spec = spec_of(corpus, metrics=("reading_age",))
    spec_file = tmp_path / "spec.json"
    spec_file.write_text(spec.model_dump_json())
    score(spec, tmp_path / "local")
    process = start(spec_file, tmp_path / "ray", "ray")
    driver = psutil.Process(process.pid)
    num_killed = 0
    while process.poll() is None and num_killed == 0:
        for worker in driver.children(recursive=True):
            try:
                if worker.name().startswith("ray::Map"):  # a worker that has a piece in hand
                    os.kill(worker.pid, signal.SIGKILL)
                    num_killed += 1
                    break
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.01)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert num_killed == 1
    assert files_of(tmp_path / "ray") == files_of(tmp_path / "local")


def test_other_settings_or_another_corpus_are_refused(corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "scores"
    score(spec_of(corpus), folder)
    wanted = files_of(folder)
    with pytest.raises(MismatchError, match=r'settings\.unit: was "passage", now "document"'):
        score(spec_of(corpus, unit="document"), folder)
    with corpus.open("a") as file:
        file.write(json.dumps({"text": "One more."}) + "\n")
    with pytest.raises(
        MismatchError,
        match=r"corpus\.1 books\.jsonl\.changed: was .* corpus\.1 .*num_bytes: was",
    ):
        score(spec_of(corpus), folder)
    with pytest.raises(MismatchError, match=r"1 books\.jsonl"):
        read_texts(folder, [(0, 0)])
    assert files_of(folder) == wanted
    with pytest.raises(StoreError, match="something else than scores"):
        score(spec_of(corpus), tmp_path)


def test_the_fingerprint_is_of_text_and_settings_not_of_place_or_time(tmp_path: Path) -> None:
    fingerprints = []
    for name, text in (("one", "A cat."), ("copy", "A cat."), ("other", "A rat.")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(text)
        score(spec_of(tmp_path / name), tmp_path / f"{name}-scores")
        fingerprints.append(read_description(tmp_path / f"{name}-scores")["fingerprint"])
    score(spec_of(tmp_path / "one", unit="document"), tmp_path / "documents")
    fingerprints.append(read_description(tmp_path / "documents")["fingerprint"])
    assert fingerprints[0] == fingerprints[1]
    assert len(set(fingerprints)) == 3


def test_bands_may_be_asked_for_anew(corpus: Path, tmp_path: Path) -> None:
    score(spec_of(corpus), tmp_path / "scores")
    part = (tmp_path / "scores" / "part-00000.parquet").stat().st_mtime_ns
    again = score(spec_of(corpus, num_bands=4), tmp_path / "scores")
    assert again.scored_bytes == 0
    assert (tmp_path / "scores" / "part-00000.parquet").stat().st_mtime_ns == part
    content = read_description(tmp_path / "scores")
    assert len(content["bands"]["edges"]["reading_age"]) == 3


def test_a_folder_with_a_setting_that_is_no_more_is_read_and_gone_on_with(
    corpus: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "scores"
    score(spec_of(corpus), folder)
    described, texts = (folder / "scores.json").read_bytes(), read_texts(folder, [(0, 0)])
    old = json.loads(described)
    old["settings"]["quantiles"] = "auto"
    (folder / "scores.json").write_text(json.dumps(old))
    assert read_texts(folder, [(0, 0)]) == texts
    assert score(spec_of(corpus), folder).scored_bytes == 0
    assert (folder / "scores.json").read_bytes() == described


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("damage", [b"", b"PAR1", None])
def test_a_part_that_is_none_is_made_again(
    corpus: Path, tmp_path: Path, damage: bytes | None
) -> None:
    folder = tmp_path / "scores"
    score(spec_of(corpus), folder)
    wanted = files_of(folder)
    victim = folder / "part-00002.parquet"
    (folder / "scores.json").unlink()
    (folder / ".part-00001.parquet.77-00.partial").write_bytes(b"half")
    victim.unlink() if damage is None else victim.write_bytes(damage)
    score(spec_of(corpus), folder)
    assert files_of(folder) == wanted


@pytest.mark.parametrize("content", ["", "{", "[1]", "null", "[" * 100_000])
def test_damaged_descriptions_are_made_again_or_named(
    corpus: Path, tmp_path: Path, content: str
) -> None:
    out = tmp_path / "scores"
    score(spec_of(corpus), out)
    before = files_of(out)
    (out / "scores.json").write_text(content)
    score(spec_of(corpus), out)
    assert files_of(out) == before
    (out / "settings.json").write_text(content)
    with pytest.raises(StoreError, match=r"settings\.json: damaged"):
        score(spec_of(corpus), out)


@pytest.mark.parametrize("name", ["pipe", "/dev/zero", "."])
def test_a_tokenizer_that_is_no_file_is_refused(corpus: Path, tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=r"not a file; expected a tokenizer\.json"):
        score(spec_of(corpus, tokenizer=str(tmp_path / name)), tmp_path / "scores")


def test_scores_do_not_go_where_a_link_of_the_corpus_leads(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "data" / "deep").mkdir(parents=True)
    write_corpus(tmp_path / "data" / "deep" / "books.jsonl", num_documents=2)
    (tmp_path / "corpus" / "linked").symlink_to(tmp_path / "data")
    for location in (tmp_path / "corpus", f"file://{tmp_path}/corpus"):
        with pytest.raises(SpecError, match="would become part of the corpus"):
            score(spec_of(location), tmp_path / "data" / "scores")
    score(spec_of(tmp_path / "corpus"), tmp_path / "scores")


@pytest.mark.parametrize("out", ["file", "file/scores", "n" * 300])
def test_a_folder_that_cannot_be_written_is_one_line(
    corpus: Path, tmp_path: Path, out: str
) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match=r"scores cannot be written; got .*[a-z]"):
        score(spec_of(corpus), tmp_path / out)


def test_a_full_disk_is_one_line_and_nothing_is_lost(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("gradatim.scoring.folder.exact_quantiles", full)
        with pytest.raises(StoreError, match="No space left on device"):
            score(spec_of(corpus), tmp_path / "scores")
    assert score(spec_of(corpus), tmp_path / "scores").scored_bytes == 0


def test_an_empty_location_is_not_the_folder_one_is_in(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="an empty location"):
        score(ScoringSpec(corpus=("",)), tmp_path / "scores")


def test_two_processes_do_not_score_into_one_folder(corpus: Path, tmp_path: Path) -> None:
    def meanwhile(stage: str, done_bytes: int, total_bytes: int) -> None:
        with pytest.raises(StoreError, match="another process is scoring"):
            score(spec_of(corpus), tmp_path / "scores")

    score(spec_of(corpus), tmp_path / "scores", on_progress=meanwhile)


@pytest.mark.usefixtures("small_pieces")
def test_progress_reaches_its_end_and_begins_where_an_earlier_call_stopped(
    corpus: Path, tmp_path: Path
) -> None:
    heard: list[tuple[str, int, int]] = []

    def give_up(stage: str, done_bytes: int, total_bytes: int) -> None:
        heard.append((stage, done_bytes, total_bytes))
        if done_bytes > total_bytes / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(spec_of(corpus), tmp_path / "scores", on_progress=give_up, num_workers=1)
    first = list(heard)
    heard.clear()
    score(spec_of(corpus), tmp_path / "scores", on_progress=lambda *told: heard.append(told))
    assert first[0][:2] == ("scoring", 0)
    assert heard[0][1] > heard[0][2] / 4
    assert heard[-1][1] == heard[-1][2]
    assert [told[1] for told in heard] == sorted(told[1] for told in heard)


@pytest.mark.usefixtures("small_pieces")
def test_bad_rows_stop_or_are_listed(tmp_path: Path) -> None:
    lines = [json.dumps({"text": prose(index, 700)}) for index in range(60)]
    lines[7], lines[40] = '{"text": null}', "no json"
    lines[20:22] = ['{"text": " \\u2003 "}', '{"text": ""}']
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match=re.escape(f"{path}:8: text: not a text")):
        score(spec_of(path), tmp_path / "stopped", num_workers=1)
    scored = score(spec_of(path, on_bad="skip"), tmp_path / "skipped")
    assert (scored.summary.num_bad, scored.summary.num_blank) == (2, 2)
    assert [place.split(": ")[0] for place in scored.summary.places] == [f"{path}:8", f"{path}:41"]
    ids = set(read_scores(tmp_path / "skipped").collect()["id"])
    assert "a.jsonl#60" in ids
    assert "a.jsonl#8" not in ids


def test_a_corpus_without_text_is_an_error(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["", " "]}), tmp_path / "blank.parquet")
    with pytest.raises(InputError, match=r"the corpus is empty; .* got 2 blank texts"):
        score(spec_of(tmp_path / "blank.parquet"), tmp_path / "scores")


@pytest.mark.usefixtures("small_pieces")
def test_a_corpus_that_changes_meanwhile_is_noticed(corpus: Path, tmp_path: Path) -> None:
    def grow(stage: str, done_bytes: int, total_bytes: int) -> None:
        if done_bytes == total_bytes:
            os.utime(corpus, ns=(1, 1))

    with pytest.raises(InputError, match="the corpus changed while it was read"):
        score(spec_of(corpus), tmp_path / "scores", on_progress=grow)


@pytest.mark.usefixtures("small_pieces")
def test_corpus_and_scores_may_lie_in_an_object_store(corpus: Path, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put_file(str(corpus), "/score-test/corpus/books.jsonl")
    try:
        spec = spec_of("memory://score-test/corpus")
        # Readers of one file in fsspec's memory share a place in it: no two at a time.
        score(spec, "memory://score-test/scores", num_workers=1)
        score(spec_of(corpus), tmp_path / "scores")
        here = files_of(tmp_path / "scores")
        names = {name for name in here if name.startswith("part-")}
        for name in names:
            assert memory.cat_file(f"/score-test/scores/{name}") == here[name]
        again = score(spec, "memory://score-test/scores", num_workers=1)
        assert again.scored_bytes == 0
        rows = read_scores("memory://score-test/scores").collect()
        assert rows.equals(read_scores(tmp_path / "scores").collect())
        texts = read_texts("memory://score-test/scores", [(1, 0), (0, 1)])
        assert texts == read_texts(tmp_path / "scores", [(1, 0), (0, 1)])
    finally:
        memory.rm("/score-test", recursive=True)


def test_a_table_of_words_is_bounded_and_keeps_the_frequent(tmp_path: Path) -> None:
    folder = OutputFolder(tmp_path)
    hashes = np.arange(100, dtype=np.uint64) * np.uint64(7919)
    counts = 10_000 // np.arange(1, 101)
    for index in range(6):
        with folder.writing(words_name(index)) as file:
            write_counts(file, hashes[index % 2 :: 2], counts[index % 2 :: 2], "mine")
    merge_words(folder, 6, "mine", max_words=60)
    found = read_counts(folder.path_of("words.parquet"), "mine")
    assert found is not None
    assert found[0].size == 60
    assert np.all(np.diff(found[0]) > 0)
    assert found[0][:20].tolist() == hashes[:20].tolist()
    assert found[1][:20].tolist() == (3 * counts[:20]).tolist()
    assert found[2] == 3 * counts.sum()
    assert folder.names() == ["words.parquet"]
    assert read_counts(folder.path_of("words.parquet"), "another's") is None


def test_an_engine_hands_on_what_went_wrong_and_stops() -> None:
    done: list[int] = []

    def work(item: int) -> int:
        if item == 3:
            raise InputError("the third is bad")
        time.sleep(0.01)
        done.append(item)
        return item

    with pytest.raises(InputError, match="the third is bad"):
        list(LocalEngine(2).map(work, range(1000)))
    assert len(done) < 20


def test_an_unknown_metric_names_the_nearest(corpus: Path) -> None:
    with pytest.raises(ValidationError, match=r"no metric flesch_ease; did you mean flesch_"):
        spec_of("a", metrics=("flesch_ease",))
    with pytest.raises(ValidationError, match="tokens_per_word needs a tokenizer"):
        spec_of("a", metrics=("tokens_per_word",))
    assert "tokens_per_word" in spec_of("a", tokenizer="t.json").metrics
    with pytest.raises(InputError, match=r"t\.json: cannot be read"):
        score(spec_of(corpus, tokenizer="t.json"), "nowhere")


def test_every_default_metric_is_described() -> None:
    assert set(DEFAULT_METRICS) <= set(COLUMNS)
