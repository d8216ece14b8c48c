"""The held-out split: what each source and level gives, and that nothing but the corpus decides."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradatim.corpus import split as split_module
from gradatim.corpus.split import DocumentCounts, Split, held_out_run
from gradatim.errors import InputError

PASSAGE_BYTES = 1500


@dataclass(frozen=True)
class Text:
    id: str
    num_bytes: int
    source: str = "a"
    level: str | None = None
    half_year: int = 20

    @property
    def sizes(self) -> list[int]:
        whole, rest = divmod(self.num_bytes, PASSAGE_BYTES)
        return [PASSAGE_BYTES] * whole + ([rest] if rest else [])


def split_of(texts: Iterable[Text], fraction: float = 0.05, seed: int = 0) -> Split:
    counts = DocumentCounts(fraction, seed)
    for text in texts:
        counts.add(
            text.id,
            source=text.source,
            level=text.level,
            num_bytes=text.num_bytes,
            half_year=text.half_year if counts.needs_half_year else None,
        )
    return counts.choose(min_cut_bytes=PASSAGE_BYTES)


def shares(split: Split, texts: Sequence[Text], label: str = "source") -> dict[object, float]:
    total: Counter[object] = Counter()
    held_out: Counter[object] = Counter()
    for text in texts:
        name = getattr(text, label)
        total[name] += text.num_bytes
        flags = split.is_held_out(text.id, text.sizes)
        held_out[name] += sum(size for size, flag in zip(text.sizes, flags, strict=True) if flag)
    return {name: held_out[name] / total[name] for name in total}


def six_sources() -> list[Text]:
    draw = random.Random(1)
    numbers = {"prose": 500, "plays": 150, "news": 60, "laws": 25, "poems": 10, "songs": 4}
    return [
        Text(f"{source}/{index}", int(draw.lognormvariate(9.5, 0.8)), source)
        for source, number in numbers.items()
        for index in range(number)
    ]


@pytest.mark.parametrize("fraction", [0.02, 0.05, 0.2, 0.5])
def test_every_source_gives_its_share_however_unequal_they_are(fraction: float) -> None:
    texts = six_sources()
    assert len(texts) == 749
    for share in shares(split_of(texts, fraction), texts).values():
        assert fraction * 2 / 3 < share < fraction * 4 / 3


def test_every_level_gives_its_share() -> None:
    texts = [
        Text(f"{index}", 3000 + 100 * (index % 7), level="easy" if index < 900 else "hard")
        for index in range(1000)
    ]
    of_level = shares(split_of(texts), texts, "level")
    assert of_level == {
        "easy": pytest.approx(0.05, abs=0.01),
        "hard": pytest.approx(0.05, abs=0.01),
    }


def test_without_source_and_level_every_band_of_difficulty_gives_its_share() -> None:
    texts = [Text(f"{index}", 4000, half_year=10 + index % 30) for index in range(900)]
    split = split_of(texts)
    for third in range(3):
        some = [text for text in texts if (text.half_year - 10) // 10 == third]
        assert shares(split, some)["a"] == pytest.approx(0.05, abs=0.012)


def test_a_few_documents_give_a_whole_one() -> None:
    texts = [Text(f"{index}", 20_000, half_year=index) for index in range(21)]
    split = split_of(texts)
    assert not split.cuts
    assert shares(split, texts)["a"] == pytest.approx(1 / 21)


def test_a_lone_document_gives_a_run_of_its_passages() -> None:
    text = Text("shakespeare", 1_115_394)
    flags = split_of([text]).is_held_out(text.id, text.sizes)
    assert sum(flags) / len(flags) == pytest.approx(0.05, abs=0.002)
    assert sum(now != before for now, before in pairwise(flags)) <= 2


@pytest.mark.parametrize("num_small", [10, 300])
def test_a_document_larger_than_all_others_is_cut_and_the_others_keep_their_share(
    num_small: int,
) -> None:
    small = [Text(f"small-{index}", 10_000) for index in range(num_small)]
    texts = [Text("huge", 10_000_000), *small]
    split = split_of(texts)
    assert len(split.cuts) == 1
    assert shares(split, texts)["a"] == pytest.approx(0.05, abs=0.003)
    assert shares(split, small)["a"] == pytest.approx(0.05, abs=0.05 if num_small < 20 else 0.01)


def test_short_documents_of_a_small_source_give_one() -> None:
    texts = [Text(f"{index}", 900, "large") for index in range(400)]
    texts += [Text(f"few-{index}", 900, "small") for index in range(6)]
    assert shares(split_of(texts), texts)["small"] == pytest.approx(1 / 6)


def test_very_many_sources_are_not_each_cut() -> None:
    texts = [Text(f"{index}", 20_000, source=f"site-{index}") for index in range(749)]
    split = split_of(texts)
    assert not split.cuts
    assert len(split.held_out) / 749 == pytest.approx(0.05, abs=0.005)


@pytest.mark.parametrize("many", [4096, 50])
def test_the_order_of_the_files_makes_no_difference(
    many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(split_module, "MANY_DOCUMENTS", many)
    texts = six_sources()
    first = split_of(texts)
    assert first.cuts
    for seed in range(3):
        random.Random(seed).shuffle(texts)
        again = split_of(texts)
        assert again.held_out.tolist() == first.held_out.tolist()
        assert again.cuts == first.cuts


def test_of_many_documents_few_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [Text(f"{index}", 2000, source="ab"[index % 2]) for index in range(4000)]
    everything = split_of(texts)
    monkeypatch.setattr(split_module, "MANY_DOCUMENTS", 100)
    counts = DocumentCounts(0.05, 0)
    for text in texts:
        counts.add(text.id, source=text.source, level=None, num_bytes=text.num_bytes)
    assert counts.num_remembered < 1200
    assert counts.choose(min_cut_bytes=1500).held_out.tolist() == everything.held_out.tolist()


def test_the_split_is_the_same_everywhere_and_for_ever() -> None:
    texts = [Text(f"pg{index}", 1000) for index in range(100)]
    split = split_of(texts, seed=3)
    held_out = [index for index in range(100) if all(split.is_held_out(f"pg{index}", [1000]))]
    assert held_out == [6, 19, 22, 49, 71]


def test_seeds_differ() -> None:
    texts = [Text(f"{index}", 3000) for index in range(60)]
    assert len({tuple(split_of(texts, seed=seed).held_out.tolist()) for seed in range(10)}) == 10


def test_documents_of_one_id_fall_together_across_levels() -> None:
    texts = [
        Text(f"{index}{mark}", 2000, level=level)
        for index in range(200)
        for mark, level in (("", "easy"), ("~2", "middle"), ("~3", "hard"))
    ]
    split = split_of(texts)
    for index in range(200):
        flags = {split.is_held_out(f"{index}{mark}", [2000])[0] for mark in ("", "~2", "~3")}
        assert len(flags) == 1
    for share in shares(split, texts, "level").values():
        assert share == pytest.approx(0.05, abs=0.01)


def test_a_number_as_level_is_sent_to_the_difficulty_columns() -> None:
    texts = [Text(f"{index}", 2000, level=str(index / 10)) for index in range(100)]
    with pytest.raises(InputError, match=r"too many levels.*at most 64.*--difficulty-column"):
        split_of(texts)


@given(
    st.lists(st.integers(1, 5000), max_size=40),
    st.integers(1, 60_000),
    st.floats(0, 1, exclude_max=True),
)
def test_a_run_of_passages_is_about_as_long_as_asked_and_never_everything(
    sizes: list[int], num_bytes: int, position: float
) -> None:
    run = held_out_run(sizes, num_bytes, position)
    if len(sizes) < 2:
        assert not len(run)
        return
    assert 0 < len(run) < len(sizes)
    assert 0 <= run.start < run.stop <= len(sizes)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 40_000), st.sampled_from("abc"), st.sampled_from(["x", None])),
        max_size=60,
    ),
    st.floats(0.01, 0.9),
)
def test_any_corpus_can_be_split(
    documents: list[tuple[int, str, str | None]], fraction: float
) -> None:
    texts = [Text(f"d{i}", *document) for i, document in enumerate(documents)]
    split = split_of(texts, fraction)
    assert np.all(np.diff(split.held_out.astype(object)) > 0)
    flags = [flag for text in texts for flag in split.is_held_out(text.id, text.sizes)]
    if len(flags) > 1 and len(documents) > 1:
        assert not all(flags)
