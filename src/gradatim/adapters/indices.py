"""A fixed order as a plain file of indices, for trainers that read one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import DTypeLike

from gradatim.adapters.sequence import BlockSequence
from gradatim.errors import SpecError
from gradatim.files import writing_whole


def write_indices(
    sequence: BlockSequence, path: Path | str, *, dtype: DTypeLike = np.uint32
) -> Path:
    """Write the batches of a whole training as `.npy`, [num_steps, batch_blocks].

    The file is mapped into memory and filled step by step, so it may be larger than memory; it
    appears whole. Row k is what step k + 1 reads: `np.load(path, mmap_mode="r")[k]`.

    Args:
        sequence: at its beginning, of a fixed order; it is left there.
        path: of the file.
        dtype: of the indices, a whole number's.

    Raises:
        SpecError: the timeline reads losses, steps were trained already, or the type does not hold
            the indices.
    """
    if sequence.reads_losses:
        raise SpecError(
            "what this timeline draws depends on losses, so it cannot be written down before",
            where=f"timeline, kind {sequence.plan.get('kind', 'of your own')}",
            expected="a fixed order",
            remedy="Put it in front of the loop itself (gradatim.adapters.torch, .transformers)",
        )
    if sequence.num_trained:
        raise SpecError("the sequence is not at its beginning", where=str(path))
    wanted, path = np.dtype(dtype), Path(path)
    if wanted.kind not in "iu":
        raise SpecError("indices are whole numbers", where="dtype", got=wanted.name)
    largest = np.iinfo(wanted).max
    with writing_whole(path) as partial:
        rows = open_memmap(
            partial, "w+", wanted.newbyteorder("<"), (sequence.num_steps, sequence.batch_blocks)
        )
        for step, block_ids in enumerate(sequence.batches()):
            if block_ids.max() > largest:
                raise SpecError(
                    "the type does not hold every index",
                    where="dtype",
                    expected=f"one up to {block_ids.max()}",
                    got=wanted.name,
                )
            rows[step] = block_ids
        rows.flush()
        del rows
    sequence.restart()
    return path
