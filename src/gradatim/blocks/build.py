"""Building a block store: four stages, each finished once, and one rename at the end.

    split       count the documents and choose those held out (`passages.py`)
    tokenizer   train it on a sample of the training split, or load it
    tokens      cut, encode, and sort passages into buckets (`encoding.py`)
    blocks      cut the buckets into blocks and score them (`table.py`)

A killed build goes on at the stage it was in when it is called again (`journal.py`), and what
lies at the store's path is at every moment a whole store or nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tokenizers import Tokenizer

from gradatim import files
from gradatim.blocks.description import (
    DESCRIPTION,
    SCHEMA_VERSION,
    TASKS,
    TOKENIZER,
    StoreDescription,
    Task,
    checksums_of,
    ranges_of,
    read_description,
    write_description,
)
from gradatim.blocks.encoding import encode_passages
from gradatim.blocks.held_out import held_out_counts
from gradatim.blocks.inputs import (
    Input,
    check_columns,
    content_of,
    inputs_of,
    total_bytes_of,
)
from gradatim.blocks.journal import STORE, Journal, building_lock, publish, sweep
from gradatim.blocks.passages import (
    PassageSource,
    choose_held_out,
    read_split,
    training_texts,
    write_split,
)
from gradatim.blocks.spec import StoreSpec
from gradatim.blocks.store import Store, fingerprint_of, token_dtype
from gradatim.blocks.table import write_blocks
from gradatim.blocks.tokenizer import (
    Vocabulary,
    load_vocabulary,
    sample_texts,
    train_tokenizer,
)
from gradatim.corpus.spectrum import generate
from gradatim.corpus.split import Split
from gradatim.errors import InputError, MismatchError, StoreError, differences

OnProgress = Callable[[str, int, int], None]

FEW_BLOCKS = 100  # of held-out text, a byte a token: over all levels, more than enough for one

SPLIT, PASSAGES_FOLDER = "split.npz", "passages"


def build(
    spec: StoreSpec,
    path: Path | str,
    *,
    force: bool = False,
    on_progress: OnProgress | None = None,
) -> Store:
    """Builds a block store, goes on with a killed build, or opens the store if it is there.

    Args:
        spec: what to build.
        path: the store's folder; `<path>.building` is used on the way.
        force: replace a store of other settings or another corpus.
        on_progress: called with stage, bytes done and bytes in all (0 where nobody can say).

    Raises:
        InputError: the corpus cannot be read as asked, or changes during the build.
        SpecError: the tokenizer cannot be used.
        MismatchError: `path` holds a store of other settings or another corpus.
        StoreError: `path` holds something else, or another process is building there.
    """
    path = Path(path)
    inputs = inputs_of(spec, _noted_inputs(path))
    check_columns(spec)
    if _is_there(spec, inputs, path, force=force):
        sweep(path)
        return Store.open(path)
    with building_lock(path) as folder:
        if _is_there(spec, inputs, path, force=force):  # another process was just done
            files.remove(folder)
            return Store.open(path)
        _Build(spec, inputs, folder, on_progress).run()
        publish(folder, path)
    return Store.open(path)


def check_large_enough(spec: StoreSpec) -> None:
    """Refuse a corpus that would leave no text to train or evaluate on, before its store is built.

    Only a corpus that holds few blocks can; it is built in a temporary folder, which takes a second
    or two. A larger one is not read.

    Raises:
        InputError, SpecError: what `build` raises.
    """
    num_bytes = 0 if spec.corpus is None else total_bytes_of(spec)
    if num_bytes and num_bytes * spec.held_out_fraction < FEW_BLOCKS * spec.block_tokens:
        with TemporaryDirectory() as folder:
            build(spec, Path(folder) / STORE)


def _noted_inputs(path: Path) -> list[Input]:
    """The inputs of the store at `path`, if one lies there."""
    if not (path / DESCRIPTION).is_file():
        return []
    return [Input.model_validate(entry) for entry in read_description(path).inputs]


def _is_there(spec: StoreSpec, inputs: list[Input], path: Path, *, force: bool) -> bool:
    """Whether the store asked for lies at `path`; false where the way is free to build it.

    Raises:
        MismatchError: another store lies there.
        StoreError: something else lies there.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return False
    if not (path / DESCRIPTION).is_file():
        raise StoreError(
            "there is something else than a block store",
            where=str(path),
            remedy="Give another path",
        )
    there = read_description(path)
    found = list(differences(_comparable(there.settings), _comparable(_settings(spec))))
    found += _changed_inputs(_noted_inputs(path), inputs)
    if spec.tokenizer.file is not None:
        now = load_vocabulary(spec.tokenizer).fingerprint
        found += differences(there.tokenizer_fingerprint, now, "tokenizer.file")
    if not found or force:
        return not found
    raise MismatchError(
        "another store lies there; " + "; ".join(found),
        where=str(path),
        remedy="Give another path, or replace it with force=True",
    )


def _settings(spec: StoreSpec) -> dict[str, Any]:
    settings: dict[str, Any] = spec.model_dump(mode="json")
    return settings


def _comparable(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings without the paths of files, whose content is compared instead."""
    tokenizer = settings["tokenizer"]
    if tokenizer["file"] is not None:
        tokenizer = tokenizer | {"file": "given"}
    corpus = settings["corpus"]
    if corpus is not None:
        corpus = {key: corpus[key] for key in corpus if key != "location"}
    return settings | {"tokenizer": tokenizer, "corpus": corpus}


def _changed_inputs(was: list[Input], now: list[Input]) -> list[str]:
    if content_of(was) == content_of(now):
        return []
    old = {entry.name: entry.content for entry in was}
    new = {entry.name: entry.content for entry in now}
    found = [f"corpus file {clause}" for clause in differences(old, new)]
    return found or ["order or number of the corpus files"]


class _Build:
    """One build in its folder, all stages."""

    def __init__(
        self, spec: StoreSpec, inputs: list[Input], folder: Path, on_progress: OnProgress | None
    ) -> None:
        self.spec = spec
        self.inputs = inputs
        self.folder = folder
        self.on_progress = on_progress
        self.settings = _settings(spec)
        tokenizer = load_vocabulary(spec.tokenizer) if spec.tokenizer.is_existing else None
        self.existing_tokenizer = tokenizer
        self.journal = Journal(
            folder,
            {
                "schema_version": SCHEMA_VERSION,
                "settings": _comparable(self.settings),
                "inputs": content_of(inputs),
                "tokenizer": tokenizer.fingerprint if tokenizer else None,
            },
        )

    def run(self) -> None:
        """Leaves a whole store, store.json included, in the building folder."""
        split_stage = self.journal.stage("split", SPLIT, self._choose_held_out)
        split = read_split(self.folder / SPLIT, self.spec.seed)

        def make_tokenizer(output: Path) -> dict[str, Any]:
            return self._make_tokenizer(split, output)

        tokenizer = self.journal.stage("tokenizer", TOKENIZER, make_tokenizer)
        vocabulary = Vocabulary(
            Tokenizer.from_file(str(self.folder / TOKENIZER)), tokenizer["separator_id"]
        )

        def encode(output: Path) -> dict[str, Any]:
            on_bytes = self._on_bytes("tokens", total_bytes_of(self.spec))
            source = PassageSource(self.spec, split)
            report = encode_passages(source, vocabulary, output, on_bytes=on_bytes)
            self._check_unchanged()
            return report

        tokens = self.journal.stage("tokens", PASSAGES_FOLDER, encode)

        def cut(output: Path) -> dict[str, Any]:
            output.mkdir()
            return write_blocks(
                self.folder / PASSAGES_FOLDER,
                output,
                vocabulary,
                block_tokens=self.spec.block_tokens,
                held_out_fraction=None if split is None else self.spec.held_out_fraction,
                on_bytes=self._on_bytes("blocks", sum(tokens["passage_bytes"].values())),
            )

        blocks = self.journal.stage("blocks", STORE, cut)
        stages = {"split": split_stage, "tokenizer": tokenizer, "tokens": tokens, "blocks": blocks}
        self._describe(vocabulary, stages)

    def _choose_held_out(self, output: Path) -> dict[str, Any]:
        on_bytes = self._on_bytes("split", total_bytes_of(self.spec))
        write_split(choose_held_out(self.spec, on_bytes), output)
        return {}

    def _make_tokenizer(self, split: Split | None, output: Path) -> dict[str, Any]:
        vocabulary = self.existing_tokenizer
        if vocabulary is None:
            wanted = self.spec.tokenizer
            on_bytes = self._on_bytes("tokenizer", total_bytes_of(self.spec))
            texts = sample_texts(
                training_texts(self.spec, split, on_bytes),
                sample_bytes=wanted.sample_bytes,
                seed=self.spec.seed,
            )
            tokenizer = train_tokenizer(texts, wanted.vocab_size)
            vocabulary = Vocabulary(tokenizer, separator_id=0)
        output.write_text(vocabulary.tokenizer.to_str(), encoding="utf-8")
        return {"separator_id": vocabulary.separator_id, "vocab_size": vocabulary.size}

    def _describe(self, vocabulary: Vocabulary, stages: dict[str, dict[str, Any]]) -> None:
        store = self.folder / STORE
        shutil.copyfile(self.folder / TOKENIZER, store / TOKENIZER)
        self._write_tasks(store / TASKS)
        tokens, blocks = stages["tokens"], stages["blocks"]
        text_bytes = sum(tokens["passage_bytes"].values())
        left_out = ("seconds", "label_bytes", "label_blocks")
        report = {
            **{key: value for key, value in (tokens | blocks).items() if key not in left_out},
            "bytes_per_token": text_bytes / max(tokens["num_tokens"], 1),
            "tokens_per_byte": tokens["num_tokens"] / max(text_bytes, 1),
            "spelled_share": tokens["spelled_bytes"] / max(text_bytes, 1),
            "held_out": held_out_counts(tokens["label_bytes"], blocks["label_blocks"]),
            "seconds": {name: round(stage["seconds"], 3) for name, stage in stages.items()},
        }
        corpus_settings = _comparable(self.settings)["corpus"] or self.settings["spectrum"]
        description = StoreDescription(
            schema_version=SCHEMA_VERSION,
            block_tokens=self.spec.block_tokens,
            vocab_size=vocabulary.size,
            dtype=token_dtype(vocabulary.size).str,
            num_blocks=sum(blocks["num_blocks"].values()),
            splits=ranges_of(blocks["num_blocks"]),
            separator_id=vocabulary.separator_id,
            fingerprint=fingerprint_of(store, vocabulary.fingerprint),
            corpus_fingerprint=files.hash_json([content_of(self.inputs), corpus_settings]),
            tokenizer_fingerprint=vocabulary.fingerprint,
            checksums=checksums_of(store),
            settings=self.settings,
            inputs=[entry.model_dump() for entry in self.inputs],
            report=report,
        )
        write_description(store, description)

    def _write_tasks(self, file: Path) -> None:
        files.remove(file)
        if self.spec.spectrum is None or not self.spec.spectrum.num_tasks:
            return
        with file.open("w", encoding="utf-8") as lines:
            for item in generate.tasks(self.spec.spectrum.num_tasks, self.spec.spectrum.seed):
                task = Task(
                    id=item.id,
                    level=item.level,
                    split=item.split,
                    prompt=item.prompt,
                    choices=item.choices,
                    answer_index=item.choices.index(item.answer),
                    num_hops=item.num_hops,
                    chance=item.chance,
                )
                lines.write(task.model_dump_json() + "\n")

    def _check_unchanged(self) -> None:
        """Raises InputError where a file of the corpus was written to while it was read."""
        found = _changed_inputs(self.inputs, inputs_of(self.spec, self.inputs))
        if found:
            raise InputError(
                "the corpus changed while it was read: " + "; ".join(found),
                remedy="Build again when nothing writes to it",
            )

    def _on_bytes(self, stage: str, total_bytes: int) -> Callable[[int], None]:
        done_bytes = 0

        def on_bytes(num_bytes: int) -> None:
            nonlocal done_bytes
            done_bytes += num_bytes
            if self.on_progress is not None:
                self.on_progress(stage, done_bytes, max(total_bytes, done_bytes))

        return on_bytes
