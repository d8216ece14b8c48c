"""Documents from files of every kind, and what is said of bad ones."""

from __future__ import annotations

import builtins
import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from gradatim.corpus import readers
from gradatim.corpus.documents import Document, Skipped, document_stem, read_documents
from gradatim.corpus.hub import HubLocation
from gradatim.errors import InputError, MissingExtraError

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def write_json_lines(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_a_parquet_file_gives_its_guessed_columns(tmp_path: Path) -> None:
    path = write_parquet(
        tmp_path / "tales.parquet",
        doc_id=["x", "y"],
        content=["One.", "Two."],
        level=["child", None],
        source_repo=["here", None],
        other=[1, 2],
    )
    assert list(read_documents(path)) == [
        Document("x", "One.", "here", "child"),
        Document("y", "Two.", "tales", None),
    ]


def test_one_parquet_column_may_be_level_and_source_at_once(tmp_path: Path) -> None:
    path = tmp_path / "books.parquet"
    columns = {"text": ["One.", "Two."], "kind": ["primer", "adult"], "id": ["x", "y"]}
    pq.write_table(pa.table(columns), path)
    documents = list(read_documents(path, level_column="kind", source_column="kind"))
    assert [(d.id, d.level, d.source) for d in documents] == [
        ("x", "primer", "primer"),
        ("y", "adult", "adult"),
    ]


def test_parquet_strings_may_be_dictionaries_and_ids_numbers(tmp_path: Path) -> None:
    path = write_parquet(
        tmp_path / "a.parquet",
        id=[7, 8],
        text=pa.array(["same", "same"]).dictionary_encode(),
    )
    assert [(d.id, d.text) for d in read_documents(path)] == [("7", "same"), ("8", "same")]


@pytest.mark.parametrize("suffix", ["jsonl", "json", "ndjson", "jsonl.gz", "jsonl.zst"])
def test_json_lines_are_read_plain_or_compressed(tmp_path: Path, suffix: str) -> None:
    half = b'{"text": "One."}\n\n'
    compress = {"gz": gzip.compress, "zst": zstandard.compress}.get(suffix[-3:].strip("."), bytes)
    path = tmp_path / f"tales.{suffix}"
    path.write_bytes(compress(half) + compress(b'{"text": "Two.", "id": "b"}'))  # two frames
    first, second = read_documents(path)
    assert first == Document(f"tales.{suffix}#1", "One.", "tales")
    assert second == Document("b", "Two.", "tales")


def test_named_columns_go_before_guessed_ones(tmp_path: Path) -> None:
    path = write_json_lines(
        tmp_path / "a.jsonl",
        {"text": "no", "story": "yes", "nr": 3, "id": "no", "kind": "k", "age": 9},
    )
    documents = read_documents(
        path, text_column="story", id_column="nr", source_column="kind", level_column="age"
    )
    assert list(documents) == [Document("3", "yes", "k", "9")]


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl"])
def test_columns_of_numbers_come_with_each_document(tmp_path: Path, name: str) -> None:
    years, marks = [7, None, 9], [0.5, 1.5, None]
    path = tmp_path / name
    if path.suffix == ".parquet":
        write_parquet(path, text=["A.", "B.", "C."], years=years, marks=marks, id=["a", "b", "c"])
    else:
        rows = [{"text": "A.", "years": 7, "marks": 0.5}, {"text": "B.", "marks": "1.5"}]
        write_json_lines(path, *rows, {"text": "C.", "years": 9, "marks": None})
    values = [d.values for d in read_documents(path, value_columns=("marks", "years"))]
    assert str(values) == "[(0.5, 7.0), (1.5, nan), (nan, 9.0)]"
    assert [d.values for d in read_documents(path)] == [(), (), ()]


@pytest.mark.parametrize("value", ["hard", [1], True, 10**400, float("inf"), "inf"])
def test_a_value_that_is_no_number_is_named(tmp_path: Path, value: object) -> None:
    path = write_json_lines(
        tmp_path / "a.jsonl", {"text": "A.", "n": 1}, {"text": "B.", "n": value}
    )
    with pytest.raises(InputError, match=r"a\.jsonl:2: n: not a number; expected a finite number"):
        list(read_documents(path, value_columns=("n",)))
    skipped = Skipped()
    documents = read_documents(path, value_columns=("n",), on_bad="skip", skipped=skipped)
    assert [d.values for d in documents] == [(1.0,)]
    assert skipped.num_bad == 1


def test_a_column_of_numbers_that_is_nowhere_is_refused(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", text=["A."], n=[1])
    with pytest.raises(InputError, match="no such column; expected m; got the columns text, n"):
        list(read_documents(path, value_columns=("m",)))
    (tmp_path / "b.txt").write_text("B.")
    assert str([d.values for d in read_documents(tmp_path, value_columns=("n",))]) == (
        "[(1.0,), (nan,)]"
    )
    with pytest.raises(InputError, match="value_columns has no effect"):
        list(read_documents(tmp_path / "b.txt", value_columns=("n",)))
    path = write_json_lines(tmp_path / "c.jsonl", {"text": "C."})
    with pytest.raises(InputError, match="no document has a number"):
        list(read_documents(path, value_columns=("n",)))


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.txt").write_text("Bee.\r\nTwo.")
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfA.")
    (tmp_path / "z.txt.gz").write_bytes(gzip.compress(b"Zed."))
    (tmp_path / ".hidden.txt").write_text("no")
    (tmp_path / "notes.pdf").write_text("no")
    write_json_lines(tmp_path / "part-00001-of-00002.jsonl", {"text": "J."})
    assert list(read_documents(tmp_path)) == [
        Document("a.txt", "A.", tmp_path.name),
        Document("part-00001-of-00002.jsonl#1", "J.", "part"),
        Document("sub/b.txt", "Bee.\nTwo.", "sub"),
        Document("z.txt.gz", "Zed.", tmp_path.name),
    ]


def test_ids_do_not_depend_on_where_the_corpus_lies(tmp_path: Path) -> None:
    ids = []
    for place in ("here", "there/deep"):
        folder = tmp_path / place / "corpus" / "sub"
        folder.mkdir(parents=True)
        (folder / "b.txt").write_text("B.")
        ids.append([document.id for document in read_documents(folder.parent)])
        ids.append([d.id for d in read_documents(str(folder.parent / "*" / "*.txt"))])
    assert ids == [["sub/b.txt"]] * 4


def test_globs_and_lists_are_read_in_turn(tmp_path: Path) -> None:
    for name in "cab":
        (tmp_path / f"{name}.txt").write_text(name)
    texts = [d.text for d in read_documents([tmp_path / "c.txt", str(tmp_path / "[ab].txt")])]
    assert texts == ["c", "a", "b"]


def test_documents_of_one_id_are_told_apart_and_share_a_stem(tmp_path: Path) -> None:
    rows = [{"id": i, "text": "t"} for i in ("a", "a~2", "a", "a")]
    ids = [d.id for d in read_documents(write_json_lines(tmp_path / "a.jsonl", *rows))]
    assert ids == ["a", "a~2", "a~3", "a~4"]
    assert {document_stem(i) for i in ids} == {"a"}
    assert document_stem("~") == "~"
    assert document_stem("home~user") == "home~user"


def test_a_long_plain_text_comes_in_pieces_cut_at_borders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "MAX_TEXT_BYTES", 64)
    text = "\n\n".join(f"Paragraph {i} är här.\nIt has lines." for i in range(20))
    (tmp_path / "long.txt").write_text(text, encoding="utf-8")
    documents = list(read_documents(tmp_path / "long.txt"))
    assert "".join(d.text for d in documents) == text
    assert [d.id for d in documents[:2]] == ["long.txt#0", "long.txt#1"]
    assert all(len(d.text.encode()) <= 64 for d in documents)
    assert all(d.text.endswith("\n\n") for d in documents[:-1])


def test_pieces_never_part_a_character(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "MAX_TEXT_BYTES", 10)
    (tmp_path / "a.txt").write_text("ääääääääääääääääääx", encoding="utf-8")
    assert "".join(d.text for d in read_documents(tmp_path / "a.txt")) == "ä" * 18 + "x"


LONG_BYTES = 300 * 2**20


def test_memory_does_not_grow_with_the_length_of_a_line(tmp_path: Path) -> None:
    with (tmp_path / "a.txt").open("wb") as text, (tmp_path / "b.jsonl").open("wb") as line:
        text.truncate(LONG_BYTES)
        line.truncate(LONG_BYTES)
        line.seek(LONG_BYTES)
        line.write(b'\n{"text": "after"}\n')
    script = (
        "import resource, sys\n"
        "from gradatim.corpus.documents import Skipped, read_documents\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "skipped = Skipped()\n"
        "n = 0\n"
        "for d in read_documents(sys.argv[1], on_bad='skip', skipped=skipped):\n"
        "    n += len(d.text)\n"
        "grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "print(n, d.text, skipped.num_bad, grown // 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    num_characters, last, num_bad, grown_megabytes = done.stdout.split()
    assert (int(num_characters), last, num_bad) == (LONG_BYTES + 5, "after", "1")
    assert int(grown_megabytes) < 300  # a few times the longest line that is read


BAD_ROWS = {
    "broken line": (
        b'{"text": "ok"}\n{"text": \n',
        r"a\.jsonl:2: not JSON; expected one object a line; got '\{\"text\":'",
    ),
    "no object": (b'["text"]\n', r"a\.jsonl:1: not a JSON object"),
    "pretty printed": (b'{\n "text": "x"\n}\n', r"a\.jsonl:1: not JSON.*on a line of its own"),
    "null": (
        b'{"text": null}\n',
        r"a\.jsonl:1: text: not a text; expected a string; got null\. Repair the row",
    ),
    "number": (b'{"text": 3}\n', r"a\.jsonl:1: text: not a text; expected a string; got int 3"),
    "not UTF-8": (
        b'{"text": "ok"}\n{"text": "caf\xe9"}\n',
        r"a\.jsonl:2: not UTF-8; got the byte 0xe9 at byte 13 of the line\. Convert",
    ),
    "half a character": (b'{"text": "a\\ud800"}\n', r"a\.jsonl:1: text: half a character.*ter 1"),
    "no column": (
        b'{"story": "x", "n": 1}\n',
        r"a\.jsonl:1: no text column; expected one of text, content, body; "
        r"got the columns story, n\. Name it with text_column \(--text-column\)",
    ),
    "deep": (b"[" * 100_000 + b"\n", r"a\.jsonl:1: not JSON"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_bad_row_stops_with_its_place_or_is_skipped_and_listed(tmp_path: Path, case: str) -> None:
    data, message = BAD_ROWS[case]
    path = tmp_path / "a.jsonl"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message):
        list(read_documents(path))
    path.write_bytes(data + b'{"text": "last"}\n')
    skipped = Skipped()
    texts = [d.text for d in read_documents(path, on_bad="skip", skipped=skipped)]
    assert texts[-1] == "last"
    assert skipped.num_bad == len(data.splitlines()) - len(texts) + 1
    assert skipped.places[0].startswith(str(path))


def test_a_line_over_the_limit_is_named_and_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "MAX_LINE_BYTES", 50)
    path = write_json_lines(tmp_path / "a.jsonl", {"text": "x" * 100}, {"text": "short"})
    with pytest.raises(InputError, match=r"a\.jsonl:1: the line is too long; expected at most 50"):
        list(read_documents(path))
    skipped = Skipped()
    (document,) = read_documents(path, on_bad="skip", skipped=skipped)
    assert document == Document("a.jsonl#2", "short", "a")
    assert skipped.num_bad == 1


def test_a_byte_order_mark_before_json_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "One."}\n')
    assert [d.text for d in read_documents(tmp_path / "a.jsonl")] == ["One."]


def test_a_text_that_is_not_utf8_is_named_with_byte_and_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"fine\ncaf\xe9\n")
    (tmp_path / "b.txt").write_text("good")
    with pytest.raises(InputError, match=r"a\.txt:2: not UTF-8; got the byte 0xe9 at byte 8"):
        list(read_documents(tmp_path))
    assert [d.text for d in read_documents(tmp_path, on_bad="skip")] == ["good"]


def test_a_null_and_broken_bytes_in_parquet_are_named_by_row(tmp_path: Path) -> None:
    broken = pa.array([b"fine", None, b"caf\xe9"]).view(pa.string())
    path = write_parquet(tmp_path / "a.parquet", text=broken)
    with pytest.raises(InputError, match=r"a\.parquet: row 2: text: not a text.*got null"):
        list(read_documents(path))
    skipped = Skipped()
    assert [d.text for d in read_documents(path, on_bad="skip", skipped=skipped)] == ["fine"]
    assert skipped.num_bad == 2
    assert (
        "row 3: text: not a text; expected a string; got 4 bytes that are not"
        in (skipped.places[1])
    )


def test_a_missing_column_lists_those_there_are(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", text=["x"], title=["y"])
    with pytest.raises(
        InputError,
        match=r"a\.parquet: no level column; expected grade; got the columns text, title\. "
        r"Name it with level_column",
    ):
        list(read_documents(path, level_column="grade"))


@pytest.mark.parametrize("suffix", ["parquet", "jsonl.gz", "jsonl.zst"])
def test_a_file_that_breaks_off_is_named(tmp_path: Path, suffix: str) -> None:
    rows = b"".join(b'{"text": "%d"}\n' % i for i in range(20_000))
    whole = {"parquet": lambda b: b"PAR1" + b, "gz": gzip.compress, "zst": zstandard.compress}
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(whole[suffix.split(".")[-1]](rows)[:-1000])
    (tmp_path / "b.txt").write_text("good")
    with pytest.raises(InputError, match=rf"a\.{suffix}: cannot be read.*file is complete"):
        list(read_documents(tmp_path))
    skipped = Skipped()
    assert list(read_documents(tmp_path, on_bad="skip", skipped=skipped))[-1].text == "good"
    assert skipped.num_bad == 1


def test_an_empty_corpus_says_why_it_is_empty(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(" \n")
    with pytest.raises(InputError, match=r"the corpus is empty.*got 1 blank texts"):
        list(read_documents(tmp_path))
    (tmp_path / "b.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match=r"1 blank texts; 1 bad rows or files, the first: .*b\.j"):
        list(read_documents(tmp_path, on_bad="skip"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.txt", "no such file or folder"),
        ("*.txt", "nothing there that can be read"),
        ("empty", "nothing there that can be read"),
        ("a.pdf", r"not a kind of file that can be read; expected \.parquet, \.arrow"),
    ],
)
def test_a_location_that_gives_nothing_is_named(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.pdf").write_text("x")
    with pytest.raises(InputError, match=message):
        list(read_documents(tmp_path / name))


def test_the_skipped_places_are_twenty_at_most(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("broken\n" * 100 + '{"text": "x"}\n')
    skipped = Skipped()
    list(read_documents(path, on_bad="skip", skipped=skipped))
    assert (skipped.num_bad, len(skipped.places)) == (100, 20)


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("hf://owner/name", HubLocation("owner/name", None, "train")),
        ("hf://owner/name/en?split=test", HubLocation("owner/name", "en", "test")),
        ("hf:///data/set/en", HubLocation("/data/set", "en", "train")),
    ],
)
def test_a_hub_location_is_read(location: str, expected: HubLocation) -> None:
    assert HubLocation.parse(location) == expected


@pytest.mark.parametrize("location", ["hf://", "hf://a/b/c/d", "hf://a/b?rows=3", "hf://a//b"])
def test_a_malformed_hub_location_is_refused(location: str) -> None:
    with pytest.raises(InputError, match=r"expected hf://owner/name\[/config\]"):
        list(read_documents(location))


def test_a_folder_in_the_layout_of_the_hub_is_streamed(tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="the extra hf is not installed")
    folder = tmp_path / "tales"
    (folder / "data").mkdir(parents=True)
    write_parquet(folder / "data" / "train-00000-of-00001.parquet", text=["One."], x=[1])
    write_parquet(folder / "data" / "test-00000-of-00001.parquet", text=["Two."], x=[1])
    (document,) = read_documents(f"hf://{folder}")
    assert document == Document("tales#1", "One.", "tales")
    (document,) = read_documents(f"hf://{folder}?split=test")
    assert document.text == "Two."
    with pytest.raises(InputError, match=r"the data set cannot be read after row 0.*split"):
        list(read_documents(f"hf://{folder}?split=none"))
    with pytest.raises(InputError, match="no text column; expected story; got the columns text, x"):
        list(read_documents(f"hf://{folder}", text_column="story"))


def test_a_hub_data_set_without_the_extra_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = builtins.__import__

    def without_datasets(name: str, *args: Any) -> Any:
        if name == "datasets":
            raise ImportError(name)
        return original(name, *args)

    monkeypatch.setattr(builtins, "__import__", without_datasets)
    with pytest.raises(MissingExtraError, match=r"pip install 'gradatim\[hf\]'"):
        list(read_documents("hf://owner/name"))


@pytest.mark.skipif(not DATA.exists(), reason="the shared data folder is absent")
def test_the_books_are_read_with_their_levels() -> None:
    documents = list(read_documents(DATA / "books.parquet"))
    assert len(documents) == 152
    assert {d.level for d in documents} == {"primer", "child", "youth", "adult", "scholar"}
    assert documents[0].id == "pg7841"
