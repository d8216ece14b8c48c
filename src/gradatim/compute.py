"""What a network costs: shape to parameters, FLOPs and memory, and the ledger that adds them up.

Compute is the clock of gradatim, so it is counted by one formula a layer type, from the shape
alone. The network asserts these counts against its real parameters when it is built, and the tests
assert the FLOPs against `torch.utils.flop_counter`.

Conventions, the same everywhere:

- a multiply-add is 2 FLOPs, and only matrix products count (norms, activations, softmax do not);
- attention scores are counted in full, not halved for causality, as `FlopCounterMode` does;
- a block of T tokens costs T positions, the last one included although it has no target;
- training is three forward passes (one forward, two for the two gradients of a product);
- the head's product counts even when its weight is tied to the embedding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gradatim.errors import SpecError

Family = Literal["llama", "gpt2"]


class Shape(BaseModel):
    """The sizes of one network, complete: two networks of one shape differ in weights alone.

    Args:
        family: architecture.
        vocab_size: tokens of the vocabulary.
        context_tokens: positions it is built for.
        num_layers: how deep it is.
        width: channels of the residual stream, a multiple of the heads.
        num_heads: of attention.
        num_kv_heads: of keys and values, of which `num_heads` is a multiple and the default.
        mlp_width: channels inside the MLP. By default 8/3 of the width rounded up to a multiple of
            8 (llama, whose MLP has three matrices) or 4 times the width (gpt2, which has two), so
            both families have about 12 width² parameters a layer.
        tied_embeddings: whether the head is the embedding.
        rope_theta: base of the rotary positions, 10,000 by default; read by llama only.
        norm_epsilon: added under the root of every norm, 1e-5 by default.

    Raises:
        pydantic.ValidationError: (a ValueError) naming the field that cannot be meant.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: Family = "llama"
    vocab_size: int = Field(ge=2, le=2**24)
    context_tokens: int = Field(ge=2, le=2**24)
    num_layers: int = Field(ge=1, le=2**12)
    width: int = Field(ge=1, le=2**18)
    num_heads: int = Field(ge=1, le=2**18)
    num_kv_heads: int = Field(default=0, ge=1)
    mlp_width: int = Field(default=0, ge=1, le=2**20)
    tied_embeddings: bool = True
    rope_theta: float = Field(default=10_000.0, gt=0)
    norm_epsilon: float = Field(default=1e-5, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _fill_in_defaults(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        filled = dict(values)
        if "num_heads" in filled:
            filled.setdefault("num_kv_heads", filled["num_heads"])
        if isinstance(width := filled.get("width"), int):
            is_gpt2 = filled.get("family") == "gpt2"
            filled.setdefault("mlp_width", 4 * width if is_gpt2 else -(-width // 3) * 8)
        return filled

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.width % self.num_heads:
            raise ValueError(
                f"width must be a multiple of num_heads; got {self.width} and {self.num_heads}"
            )
        if self.num_heads % self.num_kv_heads:
            raise ValueError(
                "num_heads must be a multiple of num_kv_heads; "
                f"got {self.num_heads} and {self.num_kv_heads}"
            )
        if self.family == "llama" and self.head_width % 2:
            raise ValueError(
                "width / num_heads must be even for rotary positions; "
                f"got {self.width} / {self.num_heads}"
            )
        if self.family == "gpt2" and self.num_kv_heads != self.num_heads:
            raise ValueError(
                "num_kv_heads must equal num_heads in family gpt2; "
                f"got {self.num_kv_heads} and {self.num_heads}"
            )
        return self

    @property
    def head_width(self) -> int:
        """Channels of one attention head."""
        return self.width // self.num_heads

    @property
    def kv_width(self) -> int:
        """Channels of all keys (or all values) of one position."""
        return self.num_kv_heads * self.head_width


# Parameters


def _matrix_counts(shape: Shape) -> dict[str, int]:
    """Weights entering a matrix product, by layer type, all layers together."""
    num_mlp_matrices = 3 if shape.family == "llama" else 2
    return {
        "attention": shape.num_layers * 2 * shape.width * (shape.width + shape.kv_width),
        "mlp": shape.num_layers * num_mlp_matrices * shape.width * shape.mlp_width,
        "head": shape.vocab_size * shape.width,
    }


def parameter_counts(shape: Shape) -> dict[str, int]:
    """Parameters by group; `head` is 0 where it is tied, so that the sum counts each one once."""
    is_gpt2 = shape.family == "gpt2"
    matrices = _matrix_counts(shape)
    num_norms = 2 * shape.num_layers + 1
    attention_biases = shape.num_layers * 4 * shape.width if is_gpt2 else 0
    mlp_biases = shape.num_layers * (shape.mlp_width + shape.width) if is_gpt2 else 0
    return {
        "embedding": shape.vocab_size * shape.width,
        "positions": shape.context_tokens * shape.width if is_gpt2 else 0,
        "attention": matrices["attention"] + attention_biases,
        "mlp": matrices["mlp"] + mlp_biases,
        "norms": num_norms * shape.width * (2 if is_gpt2 else 1),
        "head": 0 if shape.tied_embeddings else matrices["head"],
    }


def num_parameters(shape: Shape) -> int:
    """All parameters, a tied embedding counted once."""
    return sum(parameter_counts(shape).values())


def num_body_parameters(shape: Shape) -> int:
    """Parameters without embedding, positions and head: what the names of the rungs count."""
    counts = parameter_counts(shape)
    return counts["attention"] + counts["mlp"] + counts["norms"]


def num_matmul_parameters(shape: Shape) -> int:
    """Weights entering matrix products, the head included even when tied: the N of the laws.

    Six times this number is the training FLOPs of a token but for the attention scores. It is the
    convention under which small and large networks lie on one line (Porian et al. 2024,
    arXiv 2406.19146: leaving the head out bends the law at small sizes).
    """
    return sum(_matrix_counts(shape).values())


# FLOPs


def forward_flops(
    shape: Shape, num_tokens: int, *, context_tokens: int | None = None
) -> dict[str, int]:
    """FLOPs of one forward pass over `num_tokens` positions, by layer type.

    Args:
        shape: the network.
        num_tokens: positions computed, of all blocks together.
        context_tokens: positions of one sequence; the shape's own by default.
    """
    context = shape.context_tokens if context_tokens is None else context_tokens
    matrices = _matrix_counts(shape)
    return {
        "attention_projections": 2 * num_tokens * matrices["attention"],
        "attention_scores": 4 * num_tokens * context * shape.width * shape.num_layers,
        "mlp": 2 * num_tokens * matrices["mlp"],
        "head": 2 * num_tokens * matrices["head"],
    }


def training_flops(shape: Shape, num_tokens: int, *, context_tokens: int | None = None) -> int:
    """FLOPs of forward and backward over `num_tokens` positions: three times the forward pass."""
    return 3 * sum(forward_flops(shape, num_tokens, context_tokens=context_tokens).values())


# Memory


def memory_bytes(
    shape: Shape, *, batch_blocks: int, activation_bytes: int = 4, weight_bytes: int = 4
) -> dict[str, int]:
    """Bytes that training with AdamW holds at its peak, by kind; an estimate.

    Args:
        shape: the network.
        batch_blocks: blocks in one forward pass (the micro-batch).
        activation_bytes: bytes of one kept activation: 4, or 2 under bf16 autocast.
        weight_bytes: bytes of one parameter, gradient or moment.

    Activations are what is kept for the backward pass: per position and layer the residual stream
    and both norms' outputs, queries, keys and values, the attention's output, the MLP's inner
    vectors and, in contexts of up to 512 positions, the attention weights (just over half of them,
    the rest being zero; longer contexts use a flash kernel, which keeps none); and once the logits,
    in float32. Gradients are held twice: each parameter's own, and all joined in one vector for
    clipping, exchange and update. They are there together with activations when a batch goes in
    several micro-batches; one that goes whole holds less, by its own gradients or its activations,
    whichever is smaller. Left out: allocator slack, the framework itself (about 300 MB on a CPU),
    temporary buffers of one layer.

    On a CPU the sum was 0.92 to 1.15 times the peak that torch's profiler saw in two steps, over
    families, 200k to 12m, contexts of 256 and 1,024 and vocabularies of 512 to 50,257. The plain
    form of the network, that of accelerators, keeps more between products: 0.66 to 1.08 in float32.
    """
    num_weights = num_parameters(shape)
    num_positions = batch_blocks * shape.context_tokens
    num_kept_weights = shape.num_heads * shape.context_tokens * 5 // 8
    per_layer = (
        6 * shape.width
        + 2 * shape.kv_width
        + (3 if shape.family == "llama" else 2) * shape.mlp_width
        + (num_kept_weights if shape.context_tokens <= 512 else shape.num_heads)
    )
    per_position = shape.num_layers * per_layer + 2 * shape.width
    return {
        "weights": num_weights * weight_bytes,
        "gradients": 2 * num_weights * weight_bytes,
        "optimizer": 2 * num_weights * weight_bytes,
        "activations": num_positions * (per_position * activation_bytes + shape.vocab_size * 4),
    }


# Learning rate

_MAX_PEAK_RATE = 2e-2


def default_peak_rate(shape: Shape) -> float:
    """Peak learning rate of AdamW that makes the rungs of a ladder comparable.

    4.7e-3 (N / 108e6)^(-1/3), which reproduces every row of the DataDecide ladder from 4M to 1B
    (arXiv 2504.11393). N is `num_matmul_parameters`: the ladder's sizes count body and one
    embedding matrix. Below about 1.4M, smaller than that ladder reaches, the rate is held at 2e-2.
    """
    return min(_MAX_PEAK_RATE, 4.7e-3 * math.pow(num_matmul_parameters(shape) / 108e6, -1 / 3))


# The ladder


@dataclass(frozen=True)
class Rung:
    """Dimensions of one rung; key-value heads and MLP width where llama differs from the default.

    Family gpt2 has neither grouped queries nor a free MLP width here, and ignores both.
    """

    num_layers: int
    width: int
    num_heads: int
    num_kv_heads: int | None = None
    mlp_width: int | None = None


# Named by body parameters. 350m to 1.3b are GPT-3 shapes (arXiv 2005.14165, table 2.1) with heads
# of 64 or 128; 3b is Llama 3.2, 7b and 13b Llama 2, 30b Llama 1, 70b Llama 2 and 3.
LADDER: dict[str, Rung] = {
    "10k": Rung(3, 16, 1),
    "20k": Rung(3, 24, 2),
    "50k": Rung(4, 32, 2),
    "100k": Rung(4, 48, 3),
    "200k": Rung(4, 64, 4),
    "500k": Rung(5, 96, 3),
    "1m": Rung(5, 128, 4),
    "2m": Rung(6, 160, 5),
    "6m": Rung(8, 256, 4),
    "12m": Rung(10, 320, 5),
    "25m": Rung(10, 448, 7),
    "60m": Rung(12, 640, 10),
    "125m": Rung(18, 768, 12),
    "350m": Rung(24, 1024, 16),
    "760m": Rung(24, 1536, 24),
    "1.3b": Rung(24, 2048, 16),
    "3b": Rung(28, 3072, 24, num_kv_heads=8, mlp_width=8192),
    "7b": Rung(32, 4096, 32, mlp_width=11008),
    "13b": Rung(40, 5120, 40, mlp_width=13824),
    "30b": Rung(60, 6656, 52, mlp_width=17920),
    "70b": Rung(80, 8192, 64, num_kv_heads=8, mlp_width=28672),
    "100b": Rung(80, 10240, 80, num_kv_heads=8, mlp_width=32768),
}


def rung_shape(
    name: str,
    *,
    vocab_size: int,
    context_tokens: int,
    family: Family = "llama",
    tied_embeddings: bool = True,
) -> Shape:
    """The shape of a rung of the ladder for a given vocabulary and context.

    Raises:
        SpecError: the ladder has no rung of that name.
    """
    if name not in LADDER:
        raise SpecError("unknown rung", where="rung", expected=", ".join(LADDER), got=repr(name))
    given = asdict(LADDER[name])
    if family != "llama":
        del given["num_kv_heads"], given["mlp_width"]
    return Shape(
        family=family,
        vocab_size=vocab_size,
        context_tokens=context_tokens,
        tied_embeddings=tied_embeddings,
        **{field: size for field, size in given.items() if size is not None},
    )


# The ledger


class Ledger:
    """FLOPs by account. Charged accounts move the clock of a run; noted ones are only shown."""

    def __init__(self) -> None:
        self._charged: dict[str, float] = {}
        self._noted: dict[str, float] = {}

    def charge(self, account: str, flops: float) -> None:
        """Count FLOPs against the budget under the name of what they were spent on."""
        assert flops >= 0, f"{account}: compute cannot be given back ({flops})"
        self._charged[account] = self._charged.get(account, 0.0) + flops

    def note(self, account: str, flops: float) -> None:
        """Show FLOPs without counting them: evaluation, which is the same for every arm."""
        assert flops >= 0, f"{account}: compute cannot be given back ({flops})"
        self._noted[account] = self._noted.get(account, 0.0) + flops

    @property
    def charged_flops(self) -> float:
        """Sum of the charged accounts."""
        return sum(self._charged.values())

    def accounts(self) -> dict[str, float]:
        """Charged FLOPs by account."""
        return dict(self._charged)

    def noted(self) -> dict[str, float]:
        """FLOPs shown but not charged, by account."""
        return dict(self._noted)

    def state(self) -> dict[str, dict[str, float]]:
        """What a checkpoint keeps."""
        return {"charged": self.accounts(), "noted": self.noted()}

    def restore(self, state: Mapping[str, Mapping[str, float]]) -> None:
        """Take up the accounts of a checkpoint."""
        self._charged = dict(state["charged"])
        self._noted = dict(state["noted"])
