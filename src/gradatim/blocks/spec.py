"""What a block store is asked to be: corpus or graded world, tokenizer, packing.

Every field that changes a byte of the store is a setting here, so that "the same settings over
the same corpus" is a comparison of two small JSON objects.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from gradatim.blocks.schema import BLOCK_SCHEMA
from gradatim.corpus.locations import without_paths

SPECTRUM = "spectrum"
MAX_VOCAB_SIZE = 1 << 20  # four times the largest in use; the trainer reserves memory for it


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _as_several(names: object) -> object:
    return (names,) if isinstance(names, str) else names


class CorpusSpec(_Settings):
    """Where documents come from; the options are those of `gradatim.corpus.documents`.

    Args:
        location: a file, folder, glob, `hf://` name, or a list of them.
        text_column: of the text; by default `text`, `content` or `body`.
        id_column: of the document's id; by default `id` or `doc_id`, else file and line.
        source_column: of the source; by default `source` or `source_repo`, else the file's name.
        level_column: of the level; by default `level`; "" takes none.
        on_bad: what a document that cannot be read does: `stop` the build, or `skip` and be listed.
        difficulty_columns: columns of numbers, higher is harder, that become metrics of blocks.
    """

    location: Annotated[str | tuple[str, ...], BeforeValidator(without_paths)]
    text_column: str | None = None
    id_column: str | None = None
    source_column: str | None = None
    level_column: str | None = None
    difficulty_columns: Annotated[tuple[str, ...], BeforeValidator(_as_several)] = ()
    on_bad: Literal["stop", "skip"] = "stop"

    @field_validator("difficulty_columns")
    @classmethod
    def _names_of_their_own(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not name or "/" in name or name in BLOCK_SCHEMA.names:
                raise ValueError(
                    f"difficulty_columns: {name!r} cannot be a metric of your own; rename the "
                    f"column (no '/', and none of {', '.join(BLOCK_SCHEMA.names)})"
                )
        if len(set(names)) < len(names):
            raise ValueError("difficulty_columns: a column is named twice")
        return names


class SpectrumSpec(_Settings):
    """The graded world, made on the spot from a seed.

    Args:
        num_bytes: bytes of text over all levels and splits.
        num_tasks: evaluation items of each level and split but the training split.
        seed: of every text and item.
    """

    num_bytes: int = Field(default=8_000_000, ge=10_000)
    num_tasks: int = Field(default=200, ge=0, le=1_000_000)
    seed: int = Field(default=0, ge=0, lt=1 << 63)


class TokenizerSpec(_Settings):
    """A byte-level BPE trained on a sample (the default), a `tokenizer.json`, or a hub name.

    Args:
        vocab_size: tokens of a trained tokenizer, the 256 bytes and the separator included.
        sample_bytes: training text it is trained on, drawn evenly from the whole training split.
        file: an existing `tokenizer.json`.
        hf: a Hugging Face tokenizer, by name or folder (extra `hf`).
        separator: the token put after each passage; by default the tokenizer's own end of text.
    """

    vocab_size: int = Field(default=4096, ge=257, le=MAX_VOCAB_SIZE)
    sample_bytes: int = Field(default=16_000_000, ge=1_000)
    file: Annotated[str | None, BeforeValidator(without_paths)] = None
    hf: str | None = None
    separator: str | None = None

    @property
    def is_existing(self) -> bool:
        return self.file is not None or self.hf is not None

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.file is not None and self.hf is not None:
            raise ValueError("tokenizer: give `file` or `hf`, not both")
        if self.is_existing:
            for name in ("vocab_size", "sample_bytes"):
                # Compared with the default, not with what was set: a dumped spec names everything.
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"tokenizer: {name} belongs to a trained tokenizer; drop it")
        return self


class StoreSpec(_Settings):
    """Everything that decides the bytes of a block store.

    `corpus` may be a location alone; the location `spectrum` means the graded world, whose size
    is then set in `spectrum`.

    Args:
        corpus: where documents come from, or
        spectrum: how much of the graded world.
        tokenizer: trained, or one there is.
        block_tokens: length of a packed training row.
        held_out_fraction: share of the bytes never trained on, of every source and level, as whole
            documents where that can be; spectrum documents bring their own split.
        max_passage_bytes: longest passage, the unit that has one difficulty.
        deduplicate: drop passages whose normalised text was seen before.
        seed: of the held-out split and of the tokenizer's sample.
    """

    corpus: CorpusSpec | None = None
    spectrum: SpectrumSpec | None = None
    tokenizer: TokenizerSpec = TokenizerSpec()
    block_tokens: int = Field(default=256, ge=2, le=1 << 20)
    held_out_fraction: float = Field(default=0.05, gt=0.0, lt=1.0)
    max_passage_bytes: int = Field(default=2000, ge=100, le=1 << 30)
    deduplicate: bool = True
    seed: int = Field(default=0, ge=0, lt=1 << 63)

    @property
    def difficulty_columns(self) -> tuple[str, ...]:
        """Names of the metrics that blocks have from the corpus itself."""
        return () if self.corpus is None else self.corpus.difficulty_columns

    @model_validator(mode="before")
    @classmethod
    def _read_short_forms(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        data = dict(data)
        corpus = data.get("corpus")
        if isinstance(corpus, str | Path | list | tuple):
            data["corpus"] = corpus = {"location": corpus}
        if isinstance(corpus, dict) and corpus.get("location") == SPECTRUM:
            if CorpusSpec.model_validate(corpus) != CorpusSpec(location=SPECTRUM):
                raise ValueError("corpus: the graded world has no columns and no bad rows")
            del data["corpus"]
            data["spectrum"] = data.get("spectrum") or {}
        return data

    @model_validator(mode="after")
    def _one_corpus(self) -> Self:
        if (self.corpus is None) == (self.spectrum is None):
            raise ValueError("give `corpus` (a location) or `spectrum` (the graded world), one")
        default = type(self).model_fields["held_out_fraction"].default
        if self.spectrum is not None and self.held_out_fraction != default:
            raise ValueError("spectrum: it brings its own held-out text; drop held_out_fraction")
        return self
