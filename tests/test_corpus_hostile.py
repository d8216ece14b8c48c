"""Corpora that are damaged, odd or meant ill: one line that names the file, bounded memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gradatim.blocks import inputs
from gradatim.blocks.inputs import inputs_of
from gradatim.blocks.spec import StoreSpec
from gradatim.corpus import tables
from gradatim.corpus.batches import read_piece
from gradatim.corpus.columns import Columns
from gradatim.corpus.documents import Document, Skipped, read_documents
from gradatim.corpus.pieces import plan_pieces
from gradatim.errors import InputError, SpecError
from gradatim.files import hash_file
from gradatim.scoring.score import score
from gradatim.scoring.spec import ScoringSpec
from gradatim.settings import validated

POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


def scored(corpus: Path | str, out: Path, **settings: Any) -> Any:
    return score(ScoringSpec(corpus=str(corpus), metrics=("lix",), **settings), out)


def read_both_ways(path: Path | str, **options: Any) -> list[Document]:
    """Documents as a store reads them, after a look that the scorer reads the same."""
    documents = list(read_documents(path, **options))
    skipped = Skipped()
    on_bad = options.pop("on_bad", "stop")
    columns = Columns(**{name.removesuffix("_column"): value for name, value in options.items()})
    plan = plan_pieces(str(path), columns, skip_bad=on_bad == "skip")
    rows = [
        row
        for piece in plan.pieces
        for batch in read_piece(piece, columns, skipped.report(on_bad))
        for row in zip(
            batch.id.to_pylist(), batch.text.to_pylist(), batch.source.to_pylist(),
            batch.level.to_pylist(), strict=True,
        )
    ]  # fmt: skip
    assert rows == [(d.id, d.text, d.source, d.level) for d in documents]
    return documents


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv", "a.parquet", "a.arrow", "a.txt.gz"])
@pytest.mark.parametrize("content", [POINTER, b"/annex/objects/MD5E-s1--d41d8cd98f\n"])
def test_a_pointer_instead_of_a_file_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    message = rf"{name}: a pointer of (Git LFS|git-annex).*Fetch it: git (lfs pull|annex get)"
    with pytest.raises(InputError, match=message):
        list(read_documents(tmp_path))
    with pytest.raises(InputError, match=message):
        scored(tmp_path, tmp_path.parent / f"{tmp_path.name}-out")
    (tmp_path / "z.txt").write_text("Text.")
    skipped = Skipped()
    documents = read_documents(tmp_path, on_bad="skip", skipped=skipped)
    assert [d.text for d in documents] == ["Text."]
    assert skipped.num_bad == 1


def test_half_characters_in_labels_are_escaped(tmp_path: Path) -> None:
    half = r"\ud800"
    line = f'{{"text": "T.", "id": "a{half}", "source": "b{half}", "level": "c{half}"}}\n'
    (tmp_path / "a.jsonl").write_text(line)
    documents = read_both_ways(tmp_path / "a.jsonl")
    assert documents == [Document(f"a{half}", "T.", f"b{half}", f"c{half}")]


def test_names_of_files_that_are_not_utf8_are_escaped(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    Path(os.fsdecode(folder)).mkdir()
    contents = {b"a\xff.txt": b"A.", b"b\xfe.jsonl": b'{"text": "B."}', b"c\xfd.pdf\xff": b""}
    for name, content in contents.items():
        Path(os.fsdecode(folder + b"/" + name)).write_bytes(content)
    pq.write_table(pa.table({"text": ["C."]}), tmp_path / "plain")
    (tmp_path / "plain").rename(os.fsdecode(os.fsencode(tmp_path) + b"/c\xf0.parquet"))
    skipped = Skipped()
    found = read_both_ways(tmp_path)
    assert list(read_documents(tmp_path, skipped=skipped)) == found
    ids = [r"caf\udce9/a\udcff.txt", r"caf\udce9/b\udcfe.jsonl#1", r"c\udcf0.parquet#1"]
    assert [d.id for d in found] == ids
    assert [d.source for d in found] == [r"caf\udce9", r"b\udcfe", r"c\udcf0"]
    assert skipped.passed_over == {r".pdf\udcff": 1}
    out = tmp_path.parent / f"{tmp_path.name}-out"
    assert scored(tmp_path, out).summary.num_documents == 3
    Path(os.fsdecode(folder + b"/a\xff.txt")).write_bytes(b"\xff")
    with pytest.raises(InputError, match=r"caf\\udce9/a\\udcff\.txt:1: not UTF-8") as error:
        list(read_documents(tmp_path))
    str(error.value).encode()


def test_a_location_that_is_not_utf8_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    location = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    for model, settings in (
        (ScoringSpec, {"corpus": [location]}),
        (StoreSpec, {"corpus": location}),
    ):
        with pytest.raises(SpecError, match=r"caf\\udce9 is not UTF-8: rename it"):
            validated(model, settings, where="here")


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_binary_columns_that_hold_text_are_text(tmp_path: Path, kind: pa.DataType) -> None:
    texts = pa.array(["Über.".encode(), b"Two."], kind)
    labels = pa.array(["ä".encode(), b"\xff"], kind)
    pq.write_table(pa.table({"text": texts, "id": labels, "level": labels}), tmp_path / "a.parquet")
    documents = read_both_ways(tmp_path / "a.parquet")
    assert [(d.id, d.text, d.level) for d in documents] == [
        ("ä", "Über.", "ä"),
        (r"\xff", "Two.", r"\xff"),
    ]
    pq.write_table(pa.table({"text": pa.array([b"\xff"], kind)}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet: row 1: text: not a text; .*not UTF-8"):
        list(read_documents(tmp_path / "a.parquet"))


def test_labels_for_which_python_has_no_value_are_read(tmp_path: Path) -> None:
    times = pa.array([1, 2], pa.timestamp("ns"))
    far = pa.array([10**15, 0], pa.timestamp("s"))
    pq.write_table(
        pa.table({"text": ["A.", "B."], "id": times, "level": far}), tmp_path / "a.parquet"
    )
    documents = read_both_ways(tmp_path / "a.parquet")
    assert documents[0].id == "1970-01-01 00:00:00.000000001"
    assert len({d.level for d in documents}) == 2


@pytest.mark.parametrize("damage", ["empty", "head", "half", "middle"])
def test_a_damaged_parquet_file_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [f"Text number {i}." * 50 for i in range(999)]}), path)
    data = bytearray(path.read_bytes())
    if damage == "middle":
        data[100:900] = bytes(800)
    path.write_bytes(data[: {"empty": 0, "head": 4, "half": len(data) // 2}.get(damage)])
    with pytest.raises(InputError, match=r"a\.parquet: cannot be read"):
        list(read_documents(path))
    with pytest.raises(InputError, match=r"a\.parquet: cannot be read"):
        scored(path, tmp_path / "out")


@pytest.mark.parametrize("role", ["text", "level"])
def test_a_column_that_is_there_twice_is_refused(tmp_path: Path, role: str) -> None:
    names = ["text", "level", "other", "other", role]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array(["x"])] * 5, names=names), path)
    message = rf"a\.parquet: a column is there more than once; got 2 columns {role}"
    with pytest.raises(InputError, match=message):
        list(read_documents(path))
    with pytest.raises(InputError, match=message):
        scored(path, tmp_path / "out")


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv", "a.parquet"])
@pytest.mark.parametrize("on_bad", ["stop", "skip"])
def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, name: str, on_bad: Any
) -> None:
    path = tmp_path / name
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"text": ["One.", "Two."]}), path)
    else:
        header = "text\n" if path.suffix == ".csv" else ""
        rows = ['{"text": "One."}\n'] * 2 if path.suffix == ".jsonl" else ["One.\n"] * 2
        path.write_text(header + "".join(rows))
    documents = read_documents(path, on_bad=on_bad)
    next(documents)
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    with pytest.raises(InputError, match=rf"{name}: the file changed while it was read"):
        list(documents)


def test_a_file_that_changes_while_it_is_hashed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("One.")
    spec = StoreSpec.model_validate({"corpus": str(path)})
    (noted,) = inputs_of(spec)

    def slow(file: Path) -> str:
        content = hash_file(file)
        path.write_text("Two.")
        os.utime(path, ns=(0, 1))
        return content

    monkeypatch.setattr(inputs, "hash_file", slow)
    assert inputs_of(spec, [noted]) == [noted]
    with pytest.raises(InputError, match=r"a\.txt: the file changed while it was read"):
        inputs_of(spec)


def test_numbers_as_levels_are_refused_and_no_level_may_be_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [{"text": f"Text {i}.", "level": i / 100} for i in range(101)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InputError, match=r"more than 100 different levels.*--level-column ''"):
        list(read_documents(path))
    assert {d.level for d in read_documents(path, level_column="")} == {None}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows[:100]))
    assert len({d.level for d in read_documents(path)}) == 100


@pytest.mark.parametrize("of", ["text", "id", "level"])
@pytest.mark.parametrize("coded", [True, False])
def test_a_dictionary_that_expands_is_read_in_bounded_memory(
    tmp_path: Path, of: str, coded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MAX_ROW_BYTES", 4 * 2**20)
    rows, long = 2000, "a" * 200_000
    columns = {name: pa.array(["short"] * rows) for name in ("text", "id", "level")}
    columns[of] = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([long]))
    path = tmp_path / "bomb.parquet"
    table = pa.table(columns)
    pq.write_table(table, path, compression="zstd", store_schema=coded)
    assert path.stat().st_size < 4000
    before = pa.total_allocated_bytes()
    most, num_rows = 0, 0
    for _, batch in tables.parquet_batches(path, lambda names: names):
        most = max(most, pa.total_allocated_bytes() - before)
        num_rows += len(batch)
    assert num_rows == rows
    assert most < 32 * 2**20
    monkeypatch.setattr(tables, "MAX_ROW_BYTES", 100_000)
    with pytest.raises(InputError, match=r"bomb\.parquet: row group 1: a row is too long"):
        list(read_documents(path))


def test_a_large_dictionary_of_short_texts_is_read_by_its_longest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MAX_ROW_BYTES", 2**20)
    texts = [f"{index:05d}" * 500 for index in range(300)]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": texts * 2}), path)
    chunk = pq.read_metadata(path).row_group(0).column(0)
    dictionary_bytes = sum(4 + len(text) for text in texts)
    assert tables._dictionary_bytes(path, [chunk]) == dictionary_bytes
    assert [d.text for d in read_documents(path)] == texts * 2
    rows = [len(batch) for _, batch in tables.parquet_batches(path, lambda names: names)]
    assert max(rows) == 2**20 // 2500


def test_a_small_file_that_stands_for_much_text_does_not_fill_memory(tmp_path: Path) -> None:
    rows, long = 4000, "a" * 1_000_000
    text = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([long]))
    path = tmp_path / "bomb.parquet"
    pq.write_table(pa.table({"text": text}), path, compression="zstd")
    child = (
        "import resource, sys; from gradatim.corpus.documents import read_documents\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "before = peak()\n"
        "documents = read_documents(sys.argv[1])\n"
        "for _ in range(600): next(documents)\n"
        "print(peak() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", child, str(path)], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 1000
