"""The network: parameters and FLOPs as accounted for, causality, losses, initial weights."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from gradatim.compute import (
    LADDER,
    Shape,
    forward_flops,
    memory_bytes,
    num_parameters,
    rung_shape,
    training_flops,
)
from gradatim.model import fused
from gradatim.model.generate import generate
from gradatim.model.network import Network, initialise
from gradatim.model.weights import draw_weights
from gradatim.record.spec import OptimizerSpec
from gradatim.streams import Stream
from gradatim.train.optimizer import AdamW
from old_initialisation import initialise_sequentially

FAMILIES = ["llama", "gpt2"]


def small_shape(family: Any = "llama", **changes: Any) -> Shape:
    sizes = {"vocab_size": 97, "context_tokens": 24, "num_layers": 2, "width": 32, "num_heads": 4}
    return Shape.model_validate({"family": family, **sizes, **changes})


def some_tokens(shape: Shape, num_blocks: int = 3, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    size = (num_blocks, shape.context_tokens)
    return torch.randint(0, shape.vocab_size, size, generator=generator)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", LADDER)
def test_every_rung_builds_with_the_parameters_accounted_for(name: str, family: Any) -> None:
    for tied in (True, False):
        shape = rung_shape(
            name, vocab_size=2048, context_tokens=256, family=family, tied_embeddings=tied
        )
        with torch.device("meta"):
            network = Network(shape)
        assert sum(p.numel() for p in network.parameters()) == num_parameters(shape)


def test_a_parameter_not_accounted_for_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradatim.model.network.parameter_counts", lambda _: {"all": 1})
    with pytest.raises(AssertionError, match="parameters, but 1 accounted for"):
        Network(small_shape())


def counted_flops(network: Network, tokens: torch.Tensor, *, is_training: bool) -> int:
    """What PyTorch counts on the meta device.

    Attention runs on the math backend there: its scores are full products, two forward and four
    backward, which is the convention of `gradatim.compute`. The flash kernels recompute the scores
    and are counted with five products backward.
    """
    counter = FlopCounterMode(display=False)
    with counter, sdpa_kernel(SDPBackend.MATH):
        if is_training:
            network.training_losses(tokens)[0].backward()
        else:
            network(tokens)
    return counter.get_total_flops()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["10k", "200k", "6m", "3b"])
def test_flops_agree_with_pytorch_within_a_percent(name: str, family: Any) -> None:
    shape = rung_shape(name, vocab_size=2048, context_tokens=256, family=family)
    with torch.device("meta"):
        network = Network(shape)
        tokens = torch.empty(2, 256, dtype=torch.int64)
    num_tokens = tokens.numel()
    forward = sum(forward_flops(shape, num_tokens).values())
    assert counted_flops(network, tokens, is_training=False) == pytest.approx(forward, rel=1e-2)
    training = training_flops(shape, num_tokens)
    assert counted_flops(network, tokens, is_training=True) == pytest.approx(training, rel=1e-2)


@pytest.mark.parametrize("family", FAMILIES)
def test_flops_of_shorter_blocks_agree_too(family: Any) -> None:
    shape = rung_shape("50k", vocab_size=512, context_tokens=256, family=family)
    with torch.device("meta"):
        network = Network(shape)
        tokens = torch.empty(4, 40, dtype=torch.int64)
    forward = sum(forward_flops(shape, 160, context_tokens=40).values())
    assert counted_flops(network, tokens, is_training=False) == pytest.approx(forward, rel=1e-2)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["50k", "1m"])
def test_memory_estimate_is_near_what_autograd_keeps(name: str, family: Any) -> None:
    shape = rung_shape(name, vocab_size=512, context_tokens=256, family=family)
    network = Network(shape)
    own = {p.untyped_storage().data_ptr() for p in network.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network.training_losses(some_tokens(shape, 2))
    num_logits = 2 * 256 * 512
    estimate = memory_bytes(shape, batch_blocks=2)["activations"] - 4 * num_logits
    assert estimate == pytest.approx(sum(kept.values()), rel=0.25)


@pytest.mark.parametrize("family", FAMILIES)
def test_memory_estimate_is_near_what_is_held(family: Any) -> None:
    shape = rung_shape("500k", vocab_size=512, context_tokens=64, family=family)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        network = Network(shape)
        optimizer = AdamW(network, OptimizerSpec())
        for _ in range(2):
            optimizer.forget_gradients()
            for tokens in some_tokens(shape, 6).split(3):  # two micro-batches
                network.training_losses(tokens)[0].backward()
            optimizer.join_gradients()
            optimizer.update(1e-3)
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    held = np.cumsum([event.nbytes() for event in events])
    estimate = memory_bytes(shape, batch_blocks=3)
    assert held.max() == pytest.approx(sum(estimate.values()), rel=0.15)
    assert held[-1] == pytest.approx(sum(estimate.values()) - estimate["activations"], rel=0.02)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize(
    "shape",
    [small_shape("llama"), small_shape("gpt2"), small_shape("llama", num_kv_heads=2)],
    ids=["llama", "gpt2", "grouped"],
)
def test_no_position_sees_what_comes_after_it(
    shape: Shape, plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if plain:
        monkeypatch.setattr(fused, "pays_on", lambda _: False)
    network, tokens = Network(shape), some_tokens(shape)
    before = network(tokens)
    tokens[:, 15] = (tokens[:, 15] + 1) % shape.vocab_size
    after = network(tokens)
    torch.testing.assert_close(after[:, :15], before[:, :15], rtol=0, atol=1e-6)
    assert ((after - before)[:, 15:].abs().amax(dim=-1) > 1e-6).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_losses_are_the_cross_entropy_of_the_logits(family: Any) -> None:
    shape = small_shape(family)
    network, tokens = Network(shape), some_tokens(shape)
    log_probabilities = network(tokens)[:, :-1].log_softmax(dim=-1)
    expected = -log_probabilities.gather(2, tokens[:, 1:, None])[:, :, 0]
    with torch.no_grad():
        few_rows_at_a_time = network.token_losses(tokens)
    torch.testing.assert_close(network.token_losses(tokens), expected)
    torch.testing.assert_close(few_rows_at_a_time, expected)
    mean_loss, block_losses = network.training_losses(tokens)
    assert mean_loss.requires_grad
    assert not block_losses.requires_grad
    torch.testing.assert_close(block_losses, expected.mean(dim=1).detach())
    torch.testing.assert_close(mean_loss, expected.mean())


def test_evaluation_goes_by_groups_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = small_shape(vocab_size=2**17)  # 2^20 logits at a time: 8 rows
    network, tokens = Network(shape), some_tokens(shape)
    whole = network.token_losses(tokens).detach()
    with torch.no_grad():
        torch.testing.assert_close(network.token_losses(tokens), whole)


@pytest.mark.parametrize("family", FAMILIES)
def test_hidden_states_lead_to_the_logits(family: Any) -> None:
    shape = small_shape(family)
    network, tokens = Network(shape), some_tokens(shape)
    states = network.hidden_states(tokens)
    assert len(states) == shape.num_layers + 1
    logits = network.final_norm(states[-1]) @ network.head_weight.t()
    torch.testing.assert_close(logits, network(tokens))
    torch.testing.assert_close(network.next_token_logits(tokens), logits[:, -1])


def test_too_many_positions_are_refused() -> None:
    shape = small_shape()
    with pytest.raises(AssertionError, match="25 positions are too many"):
        Network(shape)(torch.zeros(1, 25, dtype=torch.int64))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_first_loss_is_that_of_guessing(family: Any) -> None:
    shape = rung_shape("100k", vocab_size=2048, context_tokens=64, family=family)
    mean_loss, _ = Network(shape).training_losses(some_tokens(shape))
    assert mean_loss.item() == pytest.approx(7.62, abs=0.05)  # ln 2048


def fingerprint(network: Network) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for name, parameter in network.named_parameters():
        digest.update(name.encode() + parameter.detach().numpy().tobytes())
    return digest.hexdigest()


def test_initial_weights_are_the_same_bits_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    llama, gpt2 = small_shape(), small_shape("gpt2")
    assert fingerprint(Network(llama, key="1/tiny")) == "50fef6d7954b0976"
    assert fingerprint(Network(gpt2, key="1/tiny")) == "9540c177c59cacbe"
    monkeypatch.setattr("gradatim.model.network._CHUNK_WEIGHTS", 77)
    assert fingerprint(Network(llama, key="1/tiny")) == "50fef6d7954b0976"


def test_initial_weights_as_they_were() -> None:
    for family, expected in (("llama", "82bd146071dbc6ab"), ("gpt2", "4806a47694622283")):
        network = Network(small_shape(family))
        initialise_sequentially(network, 1)
        assert fingerprint(network) == expected


def test_a_weight_is_24_bits_of_a_word_of_its_stream() -> None:
    words = Stream(3, "weights/head.weight").words(0, 20).tolist()
    halves = [half for word in words for half in (word & 0xFFFFFFFF, word >> 32)]
    signed = [(half - (half >> 31 << 32)) >> 8 for half in halves]
    assert min(signed) < -(2**20)
    weights = draw_weights(3, "head.weight", 0, 40, std=2**-4 / math.sqrt(3))
    assert (weights * 2**27).tolist() == pytest.approx(signed, rel=1e-7)


@given(start=st.integers(0, 300), count=st.integers(0, 50))
def test_a_slice_of_a_parameter_is_drawn_alone(start: int, count: int) -> None:
    whole = draw_weights("1/tiny", "embedding.weight", 0, 350, std=0.02)
    part = draw_weights("1/tiny", "embedding.weight", start, count, std=0.02)
    assert part.dtype == np.float32
    assert part.tolist() == whole[start : start + count].tolist()


def test_networks_draw_alike_what_has_the_same_name_and_shape() -> None:
    shallow, deep, wordy, other = (
        dict(network.named_parameters())
        for network in (
            Network(small_shape(tied_embeddings=False), key=1),
            Network(small_shape(num_layers=8, tied_embeddings=False), key=1),
            Network(small_shape(vocab_size=120), key=1),
            Network(small_shape(), key=2),
        )
    )
    for name in ("embedding.weight", "layers.1.mlp.up.weight", "head.weight"):
        assert torch.equal(shallow[name], deep[name]), name
    name = "layers.1.mlp.down.weight"  # written to the residual stream: less in a deeper network
    torch.testing.assert_close(shallow[name], 2 * deep[name])
    assert all(torch.equal(shallow[n], wordy[n]) for n in shallow if n.startswith("layers."))
    assert torch.equal(shallow["embedding.weight"], wordy["embedding.weight"][:97])
    assert not torch.equal(shallow["embedding.weight"], other["embedding.weight"])
    one, two = (shallow[f"layers.{index}.attention.qkv.weight"] for index in (0, 1))
    assert abs(torch.corrcoef(torch.stack((one.flatten(), two.flatten())))[0, 1]) < 0.1


def test_initial_weights_do_not_touch_the_global_generator() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    network = Network(small_shape(), key=1)
    torch.testing.assert_close(torch.rand(1), expected)
    again = fingerprint(network)
    initialise(network, 2)
    assert fingerprint(network) != again
    initialise(network, 1)
    assert fingerprint(network) == again


@pytest.mark.parametrize("family", FAMILIES)
def test_initial_weights_have_the_stated_spread_and_no_denormals(family: Any) -> None:
    shape = rung_shape("1m", vocab_size=2048, context_tokens=256, family=family)
    network = Network(shape)
    state = dict(network.named_parameters())
    assert state["embedding.weight"].std().item() == pytest.approx(0.02, rel=0.02)
    assert state["layers.0.attention.qkv.weight"].std().item() == pytest.approx(0.0559, rel=0.02)
    assert state["layers.0.attention.out.weight"].std().item() == pytest.approx(0.01768, rel=0.02)
    assert state["layers.4.mlp.down.weight"].std().item() == pytest.approx(
        (2 / 5 / shape.mlp_width / 10) ** 0.5, rel=0.02
    )
    for name, parameter in state.items():
        magnitudes = parameter.detach().abs()
        assert (magnitudes[magnitudes > 0] > 1e-20).all(), name


@pytest.mark.parametrize("family", FAMILIES)
def test_a_few_steps_learn_a_repeating_text(family: Any) -> None:
    shape = small_shape(family, vocab_size=16)
    network = Network(shape)
    # Every block begins elsewhere, so that the place in a block says nothing.
    tokens = (torch.arange(24) + torch.arange(4)[:, None]).remainder(8)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(60):
        mean_loss, _ = network.training_losses(tokens)
        optimizer.zero_grad()
        mean_loss.backward()
        optimizer.step()
    assert mean_loss.item() < 0.05
    assert generate(network, [3, 4], num_tokens=30, temperature=0)[-5:] == [6, 7, 0, 1, 2]


def test_sampling_follows_its_generator_and_keeps_the_prompt() -> None:
    network = Network(small_shape())

    def sample(seed: int) -> list[int]:
        generator = torch.Generator().manual_seed(seed)
        return generate(network, [1, 2, 3], num_tokens=40, generator=generator)

    assert sample(0) == sample(0) != sample(1)
    assert sample(0)[:3] == [1, 2, 3]
    assert len(sample(0)) == 43


def test_bfloat16_autocast_gives_float32_losses_near_the_exact_ones() -> None:
    shape = small_shape()
    network, tokens = Network(shape), some_tokens(shape)
    exact, _ = network.training_losses(tokens)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mean_loss, block_losses = network.training_losses(tokens)
    assert mean_loss.dtype == block_losses.dtype == torch.float32
    assert mean_loss.item() == pytest.approx(exact.item(), rel=1e-2)
    mean_loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.compile uses torch.jit
@pytest.mark.parametrize("family", FAMILIES)
def test_a_compiled_network_gives_the_same_losses_and_gradients(family: Any) -> None:
    shape = small_shape(family)
    network, tokens = Network(shape), some_tokens(shape)
    eager, _ = network.training_losses(tokens)
    eager.backward()
    expected = {name: p.grad for name, p in network.named_parameters()}
    network.zero_grad()
    compiled, block_losses = torch.compile(network.training_losses)(tokens)
    compiled.backward()
    torch.testing.assert_close(compiled, eager)
    assert not block_losses.requires_grad
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-4, atol=1e-6)
