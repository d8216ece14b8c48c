"""Every format that is read, links, and what is passed over: told, never lost."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
import zstandard

from gradatim.blocks.build import build
from gradatim.blocks.spec import StoreSpec
from gradatim.corpus.columns import Columns
from gradatim.corpus.documents import Skipped, read_documents
from gradatim.corpus.locations import find_files, in_words
from gradatim.corpus.pieces import plan_pieces
from gradatim.errors import InputError, MismatchError
from small_corpus import write_corpus

ROWS = [{"text": 'One,\n"two".', "id": "a"}, {"text": "Drei — vier.", "id": "b"}]


def lz4(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes, ".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress,
    ".zst": zstandard.compress, ".lz4": lz4,
}  # fmt: skip


def json_lines() -> bytes:
    return "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def table(delimiter: str) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["id", "text"], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(ROWS)
    return text.getvalue().encode()


@pytest.mark.parametrize("compression", COMPRESS)
@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".tsv"])
def test_streams_of_rows_are_read_however_compressed(
    tmp_path: Path, ending: str, compression: str
) -> None:
    content = {".jsonl": json_lines(), ".csv": table(","), ".tsv": table("\t")}[ending]
    data = COMPRESS[compression](content)
    (tmp_path / f"tales{ending}{compression}").write_bytes(data)
    found = list(read_documents(tmp_path))
    assert [{"text": d.text, "id": d.id} for d in found] == ROWS
    assert {d.source for d in found} == {"tales"}
    if compression:  # cut off, it is named
        path = tmp_path / f"tales{ending}{compression}"
        path.write_bytes(data[: len(data) - 9])
        with pytest.raises(InputError, match=path.name):
            list(read_documents(tmp_path))


@pytest.mark.parametrize("ending", ["txt", "text", "md", "rst", "MD", "txt.xz"])
def test_plain_texts_of_any_name_are_read(tmp_path: Path, ending: str) -> None:
    compress = lzma.compress if ending.endswith("xz") else bytes
    (tmp_path / f"a.{ending}").write_bytes(compress(b"Text."))
    assert [d.text for d in read_documents(tmp_path)] == ["Text."]


@pytest.mark.parametrize("kind", ["stream", "file", "feather"])
def test_arrow_files_are_read_in_pieces(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradatim.corpus.tables._BATCH_BYTES", 40)
    rows = pa.table({"other": [0] * 9, "text": [f"Text {i}." for i in range(9)]})
    path = tmp_path / "a.arrow"
    if kind == "feather":
        path = tmp_path / "a.feather"
        feather.write_feather(rows, path)
    else:
        new = pa.ipc.new_stream if kind == "stream" else pa.ipc.new_file
        with new(path, rows.schema) as writer:
            writer.write_table(rows, max_chunksize=4)
    wanted = [(f"{path.name}#{i + 1}", f"Text {i}.") for i in range(9)]
    assert [(d.id, d.text) for d in read_documents(path)] == wanted
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=path.name):
        list(read_documents(path))


def test_a_store_is_built_from_wherever_scores_are(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_corpus(tmp_path / "in" / "books.jsonl", num_documents=20)
    memory = fsspec.filesystem("memory")
    memory.put_file(str(tmp_path / "in" / "books.jsonl"), "/built/books.jsonl")
    stores = []
    for number, location in enumerate(
        ["memory://built", str(tmp_path / "in"), f"file://{tmp_path}/in"]
    ):
        settings = {"corpus": location, "tokenizer": {"vocab_size": 300}}
        stores.append(build(StoreSpec.model_validate(settings), tmp_path / f"store{number}"))
    assert len({store.fingerprint for store in stores}) == 1
    memory.pipe_file("/built/books.jsonl", b'{"text": "Another."}\n')
    with pytest.raises(MismatchError, match=r"corpus file books\.jsonl"):
        build(
            StoreSpec.model_validate(settings | {"corpus": "memory://built"}), tmp_path / "store0"
        )


def test_a_saved_data_set_is_its_data_files_alone(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    tales = datasets.Dataset.from_dict({"text": ["One.", "Two.", "Three."]})
    tales.save_to_disk(tmp_path / "tales", num_shards=2)
    tales.save_to_disk(tmp_path / "tales", num_shards=1)  # the two shards stay beside the one
    pq.write_table(pa.table({"text": ["Four."]}), tmp_path / "more.parquet")
    (tmp_path / "tales" / "cache-1.arrow").write_bytes(b"no data")
    passed_over = Counter[str]()
    files = find_files(tmp_path, passed_over)
    assert [(f.name, f.source) for f in files] == [
        ("more.parquet", "more"),
        ("tales/data-00000-of-00001.arrow", "tales"),
    ]
    assert +passed_over == {".arrow": 3}
    assert [d.text for d in read_documents(tmp_path / "tales")] == ["One.", "Two.", "Three."]
    memory = fsspec.filesystem("memory")
    memory.put(f"{tmp_path}/", "/saved/", recursive=True)
    assert [f.name for f in plan_pieces("memory://saved").files] == [f.name for f in files]
    (tmp_path / "tales" / "data-00000-of-00001.arrow").unlink()
    with pytest.raises(InputError, match=r"tales: a data set is incomplete.*got no data-00000"):
        find_files(tmp_path)


def test_all_splits_of_saved_data_sets_have_the_name_of_the_whole(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    both = {name: datasets.Dataset.from_dict({"text": [name]}) for name in ("train", "test")}
    datasets.DatasetDict(both).save_to_disk(tmp_path / "tales")
    found = [(d.text, d.source) for d in read_documents(tmp_path / "tales")]
    assert found == [("test", "tales"), ("train", "tales")]
    assert [d.source for d in read_documents(tmp_path / "tales" / "train")] == ["train"]
    (tmp_path / "tales" / "train" / "data-00000-of-00001.arrow").unlink()
    with pytest.raises(InputError, match=r"train: a data set is incomplete"):
        find_files(tmp_path)


def test_linked_folders_are_read_once_and_loops_end(tmp_path: Path) -> None:
    corpus, elsewhere = tmp_path / "corpus", tmp_path / "elsewhere"
    for folder in (corpus / "own", elsewhere / "deep"):
        folder.mkdir(parents=True)
    (corpus / "own" / "a.txt").write_text("A.")
    (elsewhere / "deep" / "b.txt").write_text("B.")
    (tmp_path / "not-mine.txt").write_text("C.")
    (corpus / "linked").symlink_to(elsewhere)
    (corpus / "again").symlink_to(corpus / "own")
    (corpus / "self").symlink_to(corpus)
    (corpus / "up").symlink_to(tmp_path)
    (elsewhere / "back").symlink_to(corpus / "own")
    (elsewhere / "deep" / "round").symlink_to(elsewhere)
    names = ["linked/deep/b.txt", "own/a.txt"]
    assert [file.name for file in find_files(corpus)] == names
    assert [file.name for file in find_files(f"{corpus}/**/*.txt")] == names
    assert [file.name for file in find_files(f"{corpus}/**")] == names
    assert [file.name for file in find_files(f"{corpus}/link*/**/d*/*.txt")] == names[:1]


def test_a_web_of_links_is_listed_in_no_time(tmp_path: Path) -> None:
    for one in range(12):
        (tmp_path / f"{one}").mkdir()
        (tmp_path / f"{one}" / "a.txt").write_text("A.")
        for other in range(12):
            (tmp_path / f"{one}" / f"to{other}").symlink_to(tmp_path / f"{other}")
    assert len(find_files(tmp_path)) == 12
    assert len(find_files(f"{tmp_path}/**/*.txt")) == 12


def test_what_is_passed_over_is_counted_by_its_ending(tmp_path: Path) -> None:
    for name in ("a.txt", "b.pdf", "c.PDF", "d.tar.gz", "e", "README.md", ".f.txt", "g.parquet.gz"):
        (tmp_path / name).write_text("x")
    (tmp_path / "_h").mkdir()
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "broken.txt").symlink_to(tmp_path / "nowhere")
    skipped = Skipped()
    assert [d.text for d in read_documents(tmp_path, skipped=skipped)] == ["x"]
    expected = {
        ".pdf": 2, ".tar.gz": 1, "without an ending": 1, ".md": 1, ".parquet.gz": 1, "hidden": 2,
        "pipes, devices or broken links": 2,
    }  # fmt: skip
    assert skipped.passed_over == expected
    assert plan_pieces(str(tmp_path)).passed_over == expected
    assert in_words({".pdf": 2, ".md": 1, ".x": 0, ".doc": 1000}) == "1,000 .doc, 2 .pdf, 1 .md"
    assert [file.name for file in find_files(f"{tmp_path}/*.md")] == ["README.md"]
    (tmp_path / "a.txt").unlink()
    with pytest.raises(InputError, match=r"nothing there.*got 2 \.pdf, 2 hidden, 2 pipes"):
        find_files(tmp_path)


def test_folders_that_fit_a_glob_are_counted(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.txt").write_text("A.")
    passed_over = Counter[str]()
    assert [file.name for file in find_files(f"{tmp_path}/*", passed_over)] == ["a.txt"]
    assert passed_over == {"folders": 1}


def test_a_folder_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.txt").write_text("A.")
    scandir = os.scandir

    def refusing(path: str) -> object:
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(InputError, match=r"cannot be looked into.*Permission denied.*deep"):
        find_files(tmp_path)


@pytest.mark.parametrize("name", ["pipe.txt", "zero.jsonl", "gone.txt"])
def test_what_cannot_be_read_twice_is_refused(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "zero.jsonl").symlink_to("/dev/zero")
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="not a file that can be read twice"):
        find_files(tmp_path / name)


@pytest.mark.parametrize("name", ["n" * 5000, "~nobody-of-that-name/a.txt", "a\0b", "[z-a]*"])
def test_a_path_that_cannot_be_is_one_line(name: str) -> None:
    with pytest.raises(InputError):
        find_files(name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id,text\na,\"x\n", r"a\.csv:2: not a line of a table.*unexpected end of data"),
        (b"id,text\na,x,y\nb,z\n", r"a\.csv:2: .*got 3 cells under 2 columns"),
        (b"id,text\na,\xff\nb,z\n", r"a\.csv:2: not UTF-8; got the byte 0xff"),
        (b'id,text\na,"x"y\nb,z\n', r"a\.csv:2: not a line of a table"),
        (b"id,no\na,x\n", r"a\.csv: no text column.*got the columns id, no"),
        (b"text,text\na,x\n", r"a\.csv: a column is there more than once; got 2 columns text"),
    ],
)  # fmt: skip
def test_a_bad_table_of_cells_is_named_by_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        list(read_documents(tmp_path / "a.csv"))
    (tmp_path / "b.txt").write_text("B.")
    skipped = Skipped()
    texts = [d.text for d in read_documents(tmp_path, on_bad="skip", skipped=skipped)]
    assert texts == (["z", "B."] if b"b,z" in content else ["B."])
    assert skipped.num_bad == 1


def test_a_column_asked_for_of_plain_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A.")
    with pytest.raises(InputError, match=r"id_column has no effect.*plain text"):
        list(read_documents(tmp_path, id_column="id"))
    with pytest.raises(InputError, match="level_column has no effect"):
        plan_pieces(str(tmp_path), Columns(level="grade"))
    assert list(read_documents(tmp_path, level_column=""))
