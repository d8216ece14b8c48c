"""A corpus in pieces: every row once whatever their size, as `read_documents` has it."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.corpus import pieces as pieces_module
from gradatim.corpus.batches import TextBatch, cut_batch, read_piece
from gradatim.corpus.columns import Columns
from gradatim.corpus.documents import Document, Skipped, read_documents
from gradatim.corpus.passages import cut
from gradatim.corpus.pieces import (
    CorpusPlan,
    count_segment_lines,
    plan_pieces,
    with_line_numbers,
)
from gradatim.corpus.storage import OutputFolder
from gradatim.errors import InputError, MissingExtraError
from small_corpus import prose

Label = tuple[str, str, str, str | None]

TEXTS = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=60), max_size=25
)


def stop(error: InputError) -> None:
    raise error


def numbered(plan: CorpusPlan) -> CorpusPlan:
    """The plan as the scorer uses it, lines counted."""
    segments = [segment for piece in plan.pieces for segment in piece.segments]
    counts = [count_segment_lines(each) for each in segments if each.needs_line_numbers]
    return CorpusPlan(plan.files, with_line_numbers(plan.pieces, counts))


def rows_of(batch: TextBatch) -> Iterator[Label]:
    columns = (batch.id, batch.text, batch.source, batch.level)
    yield from zip(*(column.to_pylist() for column in columns), strict=True)


def read_pieces(plan: CorpusPlan, columns: Columns | None = None) -> list[Label]:
    return [
        row
        for piece in numbered(plan).pieces
        for batch in read_piece(piece, columns or Columns(), stop)
        for row in rows_of(batch)
        if row[1] and not row[1].isspace()
    ]


def expected(location: str | Sequence[str], **options: Any) -> list[Label]:
    return [
        (document.id, document.text, document.source, document.level)
        for document in read_documents(location, **options)
    ]


def write_parquet(path: Path, rows: list[dict[str, Any]], row_group_size: int) -> None:
    schema = pa.schema([("text", pa.string()), ("id", pa.string()), ("level", pa.int64())])
    pq.write_table(pa.Table.from_pylist(rows, schema), path, row_group_size=row_group_size)


@settings(max_examples=40)
@given(TEXTS, st.integers(1, 400), st.integers(1, 9))
def test_pieces_hold_every_row_once_in_order(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], piece_bytes: int, group: int
) -> None:
    folder = tmp_path_factory.mktemp("corpus")
    rows = [{"text": text, "id": f"id{index}", "level": index} for index, text in enumerate(texts)]
    unnamed = [{"text": text} for text in texts]
    write_parquet(folder / "a.parquet", rows, group)
    write_parquet(folder / "b-00001.parquet", [row | {"id": None} for row in rows], group)
    lines = [json.dumps(row, ensure_ascii=bool(index % 2)) for index, row in enumerate(unnamed)]
    (folder / "c.jsonl").write_text("\n\n".join(lines), encoding="utf-8")
    with gzip.open(folder / "d.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in lines))
    (folder / "e.txt").write_text("always something\n" + "\n".join(texts), encoding="utf-8")
    plan = plan_pieces(str(folder), piece_bytes=piece_bytes)
    assert [piece.index for piece in plan.pieces] == list(range(len(plan.pieces)))
    assert read_pieces(plan) == expected(str(folder))


def test_small_files_share_a_piece_and_large_row_groups_are_parted(tmp_path: Path) -> None:
    for index in range(9):
        (tmp_path / f"{index}.txt").write_text("a short story\n" * 10)
    write_parquet(
        tmp_path / "one.parquet", [{"text": prose(at, 900), "id": str(at)} for at in range(40)], 99
    )
    pieces = plan_pieces(str(tmp_path), piece_bytes=1000).pieces
    assert [len(piece.segments) for piece in pieces] == [7, 2, 1, 1, 1, 1]
    assert [str(piece) for piece in pieces[-2:]] == [
        "one.parquet rows 20-30", "one.parquet rows 30-40",
    ]  # fmt: skip
    assert str(pieces[0]) == "0.txt and 6 more"


def test_a_corpus_has_few_hundred_pieces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pieces_module, "MIN_PIECE_BYTES", 100)
    lines = [json.dumps({"text": prose(index, 400)}) for index in range(400)]
    (tmp_path / "many.jsonl").write_text("\n".join(lines))
    assert 200 <= len(plan_pieces(str(tmp_path)).pieces) <= 257


def test_labels_of_any_type_read_as_in_read_documents(tmp_path: Path) -> None:
    table = pa.table({
        "text": pa.array(["one", "two", "three"]).dictionary_encode(),
        "id": pa.array([7, None, 9]),
        "source": pa.array(["", None, "s"]),
        "level": pa.array([1.5, None, 3.0]),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "labels.parquet")
    plan = plan_pieces(str(tmp_path / "labels.parquet"))
    assert read_pieces(plan) == expected(str(tmp_path / "labels.parquet"))
    assert read_pieces(plan)[0] == ("7", "one", "labels", "1.5")


def test_one_column_may_serve_two_roles(tmp_path: Path) -> None:
    pq.write_table(pa.table({"t": ["one", "two"]}), tmp_path / "a.parquet")
    columns = Columns("t", "t", "t", "t")
    plan = plan_pieces(str(tmp_path), columns)
    assert read_pieces(plan, columns) == [("one",) * 4, ("two",) * 4]


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_bad_rows_are_named_as_in_read_documents(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"bad.{kind}"
    if kind == "parquet":
        not_utf8 = pa.Array.from_buffers(
            pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xffa")]
        )
        texts = pa.concat_arrays([pa.array(["good", None]), not_utf8, pa.array(["better"])])
        pq.write_table(pa.table({"text": texts}), path, row_group_size=2)
    else:
        lines = [b'{"text": "good"}', b"{", b'{"text": 5}', b'{"text": "\xff"}', b'{"text":"ok"}']
        path.write_bytes(b"\n".join(lines))
    skipped, found = Skipped(), Skipped()
    wanted = [document.text for document in read_documents(path, on_bad="skip", skipped=skipped)]
    plan = numbered(plan_pieces(str(path), piece_bytes=20))
    assert len(plan.pieces) > 1
    texts_read = [
        text
        for piece in plan.pieces
        for batch in read_piece(piece, Columns(), found.note)
        for text in batch.text.to_pylist()
    ]
    assert texts_read == wanted
    assert found.places == skipped.places
    assert found.num_bad > 1
    with pytest.raises(InputError, match=re.escape(skipped.places[0])):
        read_pieces(plan)


def test_a_missing_column_is_an_error_before_anything_is_read(tmp_path: Path) -> None:
    pq.write_table(pa.table({"words": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="no text column"):
        plan_pieces(str(tmp_path))
    (piece,) = plan_pieces(str(tmp_path), skip_bad=True).pieces
    notes = Skipped()
    assert list(read_piece(piece, Columns(), notes.note)) == []
    assert "no text column" in notes.places[0]


def test_a_file_that_breaks_off_is_reported_after_what_it_gave(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"text": prose(index, 90_000)}) + "\n" for index in range(50))
    whole = gzip.compress(lines.encode())
    (tmp_path / "half.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (piece,) = plan_pieces(str(tmp_path)).pieces
    notes = Skipped()
    read = sum(len(batch.text) for batch in read_piece(piece, Columns(), notes.note))
    assert 0 < read < 50
    assert "cannot be read to its end" in notes.places[0]


def test_locations_elsewhere_read_as_those_here(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    rows = [{"text": prose(index, 300), "id": str(index)} for index in range(20)]
    for folder in ("deep", "_hidden"):
        (tmp_path / folder).mkdir()
        write_parquet(tmp_path / folder / "a.parquet", rows, 7)
    (tmp_path / "b.jsonl").write_text("\n".join(json.dumps({"text": "b" * 90}) for _ in range(9)))
    (tmp_path / "deep" / "c.txt").write_text("c")
    (tmp_path / "other.pdf").write_text("d")
    memory.put(f"{tmp_path}/", "/pieces-test/", recursive=True)
    try:
        here = read_pieces(plan_pieces(str(tmp_path), piece_bytes=200))
        there = read_pieces(plan_pieces("memory://pieces-test", piece_bytes=200))
        assert there == here
        assert len(here) == 30
        matched = plan_pieces("memory://pieces-test/*.jsonl")
        assert [file.name for file in matched.files] == ["b.jsonl"]
        (one,) = plan_pieces("memory://pieces-test/deep/a.parquet").files
        assert (one.name, one.source) == ("a.parquet", "a")
        assert read_pieces(plan_pieces(f"file://{tmp_path}", piece_bytes=200)) == here
        with pytest.raises(InputError, match="nothing there that can be read"):
            plan_pieces("memory://pieces-test/nowhere")
        with pytest.raises(InputError, match="not a kind of file"):
            plan_pieces("memory://pieces-test/other.pdf")
    finally:
        memory.rm("/pieces-test", recursive=True)


def test_a_store_that_cannot_be_reached_is_one_line() -> None:
    with pytest.raises(InputError, match="not a location that can be reached"):
        plan_pieces("nowhere://bucket/folder")
    with pytest.raises((MissingExtraError, InputError), match="dask://x"):
        plan_pieces("dask://x")


@pytest.mark.parametrize("location", ["folder", "memory://output-test/folder"])
def test_an_output_file_is_whole_or_not_there(location: str, tmp_path: Path) -> None:
    folder = OutputFolder(tmp_path / location if "://" not in location else location)
    assert folder.names() == []
    folder.write_bytes("a", b"first")
    folder.write_bytes("a", b"second")

    def break_off() -> None:
        with folder.writing("b") as file:
            file.write(b"half")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        break_off()
    assert folder.names() == ["a"]
    assert folder.read_bytes("a") == b"second"
    folder.remove("a")
    folder.remove("a")
    assert folder.names() == []


FRAGMENTS = st.sampled_from([
    "Mr. ", "J. ", "e.g. ", " i.e. x", "Messrs. ", "\n", "\n\n", " \n \r\n", "\t", "word ",
    "“Yes.” ", "No!' ", "I. ", "x_St. ", "'B. ", "é", "\u3000", "\u2009", "中", "\x85", "\x1c",
    "\xa0", "?) ", "a.", "... ", ".", "supercalifragilistic", "Q", "\r", "\x0b", "\u1680",
])  # fmt: skip


@settings(max_examples=150)
@given(st.lists(st.lists(FRAGMENTS, max_size=60).map("".join), max_size=5), st.integers(16, 120))
def test_passages_of_a_batch_are_those_of_cut(texts: list[str], max_bytes: int) -> None:
    labels = pa.array([""] * len(texts), pa.string())
    batch = TextBatch(pa.array(texts, pa.large_string()), labels, labels, labels)
    found = cut_batch(batch, max_bytes=max_bytes, min_bytes=max_bytes // 10)
    wanted = [
        (index, passage.text)
        for index, text in enumerate(texts)
        for passage in cut(Document("d", text, "s"), max_bytes=max_bytes)
    ]
    assert list(zip(found.document.tolist(), found.text.to_pylist(), strict=True)) == wanted
    for document, start, text in zip(
        found.document.tolist(), found.start_byte.tolist(), found.text.to_pylist(), strict=True
    ):
        assert texts[document].encode()[start:].startswith(text.encode())
    assert found.num_blank == sum(not text or text.isspace() for text in texts)
    for text in found.text.to_pylist():
        assert text == text.strip()
        assert 0 < len(text.encode()) <= max_bytes


PARAGRAPH = re.compile(rb"\n[ \t\r]*\n")
SENTENCE = re.compile(rb"""[.!?](?:["')\]*_]|\xe2\x80[\x99\x9d])*(?=\s)""")
ABBREVIATED = re.compile(
    rb"(?:\b(?:Mr|Mrs|Ms|Dr|St|Prof|Rev|Hon|Capt|Col|Gen|Lt|Sgt|Messrs|Mme|Mlle|Gov|Sen|vs|cf|viz"
    rb"|e\.g|i\.e)|(?:^|[^\w'])[A-HJ-Z])\.$"
)


def border_by_patterns(data: bytes, lowest: int, highest: int) -> int | None:
    """The last paragraph, sentence, line or word that ends in [lowest, highest], in that order."""
    paragraphs = [m.start() for m in PARAGRAPH.finditer(data, lowest, highest + 8)]
    sentences = [
        match.end()
        for match in SENTENCE.finditer(data, lowest - 1, highest + 1)
        if not ABBREVIATED.search(data[max(0, match.start() - 7) : match.start() + 1])
    ]
    lines = [m.start() for m in re.finditer(rb"\n", data)]
    words = [m.start() for m in re.finditer(rb"\s", data)]
    for borders in (paragraphs, sentences, lines, words):
        inside = [border for border in borders if lowest <= border <= highest]
        if inside:
            return inside[-1]
    return None


@settings(max_examples=150)
@given(st.lists(FRAGMENTS, min_size=30, max_size=80).map("".join))
def test_the_compiled_search_finds_what_the_patterns_find(text: str) -> None:
    data = text.encode()
    if len(data) <= 64:
        return
    border = border_by_patterns(data, 6, min(64, len(data) - 6))
    first = next(cut(Document("d", text, "s"), max_bytes=64, min_bytes=6), None)
    if border is not None and data[:border].decode().strip():
        assert first is not None
        assert first.text == data[:border].decode().strip()


def test_whole_documents_are_handed_on_without_a_copy() -> None:
    text = pa.array(["skipped", " a ", "b"], pa.large_string()).slice(1)
    labels = pa.array(["x", "y"])
    whole = cut_batch(TextBatch(text, labels, labels, labels), max_bytes=None, min_bytes=0)
    assert whole.text.to_pylist() == [" a ", "b"]
    assert whole.text.buffers()[2].address == text.buffers()[2].address
    blank = pa.array([" a ", "\u2003\n", ""], pa.large_string())
    labels = pa.array(["x", "y", "z"])
    some = cut_batch(TextBatch(blank, labels, labels, labels), max_bytes=None, min_bytes=0)
    assert (some.text.to_pylist(), some.num_blank) == ([" a "], 2)
    assert np.array_equal(some.document, [0])
