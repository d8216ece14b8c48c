"""What a run of a recipe costs on accelerators, from the shapes alone: nothing is trained.

`plan` measures the machine it runs on; this is for networks that do not fit there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gradatim.blocks.spec import TokenizerSpec
from gradatim.compute import memory_bytes, num_parameters
from gradatim.errors import SpecError
from gradatim.record.spec import RunSpec
from gradatim.settings import one_of
from gradatim.study.arms import BASELINE
from gradatim.study.spec import StudySpec

VOCABULARIES = {"gpt2": 50_257, "EleutherAI/gpt-neox-20b": 50_277}
"""Tokens of the tokenizers that recipes name, so that a cost needs no download."""

H100_FLOPS_PER_SECOND = 989e12
"""Dense bfloat16 products of an H100 SXM, by its maker's data sheet."""

UTILISATION = 0.4
"""Assumed: what training reaches of it, in the FLOPs that `compute` counts."""

ACTIVATION_BYTES = 2
"""Under bfloat16 autocast; weights, gradients and moments are float32."""

WEIGHT_BYTES = 4


@dataclass(frozen=True)
class RungCost:
    """One run at one rung.

    Attributes:
        rung: its name.
        num_parameters: all of them, tied embeddings once.
        flops: charged by the end of a run.
        num_tokens: read by then, whole steps only.
        num_steps: optimizer steps.
        memory_bytes: at the peak on one device that holds all weights, in one micro-batch.
        device_hours: on an H100 at the assumed utilisation.
        num_runs: of the study at this rung: arms and their controls times seeds.
    """

    rung: str
    num_parameters: int
    flops: float
    num_tokens: int
    num_steps: int
    memory_bytes: int
    device_hours: float
    num_runs: int


def cost(spec: StudySpec) -> list[RungCost]:
    """What one run costs, rung by rung.

    The arms have the same budget; the memory is that of the first one that is a method, with the
    averages of the weights that it keeps.

    Raises:
        SpecError: the study's store is not described, or nobody knows its vocabulary yet.
    """
    if spec.store is None:
        raise SpecError(
            "a cost needs the settings of the store", where="store", got="store_path alone"
        )
    runs = spec.runs_before_store(
        vocab_size=_vocabulary(spec.store.tokenizer), context_tokens=spec.store.block_tokens
    )
    by_rung: dict[str, list[RunSpec]] = {}
    for run in runs:
        by_rung.setdefault(run.rung, []).append(run)
    return [_rung_cost(rung, runs) for rung, runs in by_rung.items()]


def _vocabulary(tokenizer: TokenizerSpec) -> int:
    if not tokenizer.is_existing:
        return tokenizer.vocab_size
    if tokenizer.hf not in VOCABULARIES:
        raise SpecError(
            "the size of this vocabulary is not known",
            where="store.tokenizer",
            expected=one_of(list(VOCABULARIES)),
            got=tokenizer.hf or tokenizer.file,
        )
    return VOCABULARIES[tokenizer.hf]


def _rung_cost(rung: str, runs: Sequence[RunSpec]) -> RungCost:
    run = next(run for run in runs if run.arm != BASELINE)
    clock = run.clock()
    num_averages = sum(average.num_vectors for average in run.recipe.rate.averages)
    held = memory_bytes(
        run.shape,
        batch_blocks=run.micro_batch_blocks or run.batch_blocks,
        activation_bytes=ACTIVATION_BYTES,
    )
    return RungCost(
        rung=rung,
        num_parameters=num_parameters(run.shape),
        flops=float(clock.budget_flops),
        num_tokens=clock.tokens(clock.num_steps),
        num_steps=clock.num_steps,
        memory_bytes=sum(held.values()) + num_averages * num_parameters(run.shape) * WEIGHT_BYTES,
        device_hours=clock.budget_flops / (UTILISATION * H100_FLOPS_PER_SECOND) / 3600,
        num_runs=len(runs),
    )
