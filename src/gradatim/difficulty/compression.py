"""How well a text compresses: repetition is easy, so a higher ratio is harder."""

from __future__ import annotations

import zlib

import numpy as np
import pyarrow as pa
import zstandard

from gradatim.difficulty.counts import FloatColumn, ratio
from gradatim.difficulty.plain import text_bytes

ZLIB_LEVEL = 6
ZSTD_LEVEL = 1


def zlib_ratio(texts: pa.Array) -> FloatColumn:
    """Compressed bytes over bytes of each text by DEFLATE at level 6; masked where it is empty.

    A text of less than some hundred bytes can have a ratio above 1. Shape [num_texts].
    """
    data, offsets = text_bytes(texts)
    view = data.data
    spans = zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    sizes = [len(zlib.compress(view[begin:end], ZLIB_LEVEL)) for begin, end in spans]
    return ratio(np.array(sizes, np.int64), np.diff(offsets))


def zstd_ratio(texts: pa.Array) -> FloatColumn:
    """Compressed bytes over bytes of each text by Zstandard at level 1, without its frame's size.

    Masked where the text is empty. Shape [num_texts].
    """
    data, offsets = text_bytes(texts)
    lengths = np.diff(offsets)
    sizes = np.zeros(lengths.size, np.int64)
    filled = np.flatnonzero(lengths)
    if filled.size:
        spans = np.stack([offsets[:-1][filled], lengths[filled]], axis=1).astype(np.uint64)
        pieces = zstandard.BufferWithSegments(data.data, spans.tobytes())
        compressor = zstandard.ZstdCompressor(
            level=ZSTD_LEVEL, write_content_size=False, write_checksum=False
        )
        compressed = compressor.multi_compress_to_buffer(pieces, threads=1)
        sizes[filled] = [len(compressed[i]) for i in range(filled.size)]
    return ratio(sizes, lengths)
