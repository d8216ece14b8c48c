"""Hugging Face folders: equal logits both ways, and errors that name what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from gradatim.compute import Shape
from gradatim.errors import InputError
from gradatim.model.convert import load_hf, save_hf
from gradatim.model.network import Network

SIZES: dict[str, Any] = {
    "vocab_size": 96,
    "context_tokens": 40,
    "num_layers": 2,
    "width": 32,
    "num_heads": 4,
}
SHAPES = {
    "llama": Shape(**SIZES, rope_theta=5000.0, norm_epsilon=1e-4),
    "llama-untied": Shape(**SIZES, tied_embeddings=False),
    "llama-grouped": Shape(**SIZES, num_kv_heads=2, mlp_width=48),
    "gpt2": Shape(**SIZES, family="gpt2", norm_epsilon=1e-4),
    "gpt2-untied": Shape(**SIZES, family="gpt2", mlp_width=80, tied_embeddings=False),
}
TOKENS = torch.randint(0, 96, (3, 40), generator=torch.Generator().manual_seed(0))

pytestmark = pytest.mark.timeout(600)  # transformers takes minutes to import from a cold, busy disk

each_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())


def stirred_network(shape: Shape) -> Network:
    """A network whose every parameter matters: no zeros in biases, no ones in norms."""
    network = Network(shape, key=3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return network


def largest_difference(one: torch.Tensor, other: torch.Tensor) -> float:
    return (one - other).abs().max().item()


@each_shape
def test_a_written_folder_reads_back_bit_for_bit(shape: Shape, tmp_path: Path) -> None:
    network = stirred_network(shape)
    save_hf(network, tmp_path / "hf")
    again = load_hf(tmp_path / "hf")
    assert again.shape == shape
    theirs = dict(again.named_parameters())
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, theirs[name]), name


@each_shape
@torch.no_grad()
def test_transformers_opens_what_is_written_and_gives_equal_logits(
    shape: Shape, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers", reason="the extra gradatim[hf]")
    network = stirred_network(shape)
    save_hf(network, tmp_path)
    model, loading = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, output_loading_info=True, attn_implementation="sdpa"
    )
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    theirs, ours = model(TOKENS).logits, network(TOKENS)
    assert ours.abs().max() > 1
    assert largest_difference(theirs, ours) < 1e-5 * max(1.0, ours.abs().max().item())


def transformers_model(kind: str) -> Any:
    transformers = pytest.importorskip("transformers", reason="the extra gradatim[hf]")
    torch.manual_seed(0)
    if kind.startswith("gpt2"):
        config = transformers.GPT2Config(
            vocab_size=96, n_positions=40, n_embd=32, n_layer=2, n_head=4
        )
        model = transformers.GPT2LMHeadModel(config)
    else:
        config = transformers.LlamaConfig(
            vocab_size=96,
            max_position_embeddings=40,
            hidden_size=32,
            intermediate_size=56,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2 if kind == "llama-grouped" else 4,
            tie_word_embeddings=kind == "llama-tied",
            rope_theta=3000.0,
        )
        model = transformers.LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    return model.eval()


@pytest.mark.parametrize("kind", ["llama", "llama-tied", "llama-grouped", "gpt2"])
@pytest.mark.parametrize("is_sharded", [False, True])
@torch.no_grad()
def test_what_transformers_writes_is_read_with_equal_logits(
    kind: str, is_sharded: bool, tmp_path: Path
) -> None:
    model = transformers_model(kind)
    model.save_pretrained(tmp_path, max_shard_size="30KB" if is_sharded else "1GB")
    assert (tmp_path / "model.safetensors.index.json").exists() == is_sharded
    theirs, ours = model(TOKENS).logits, load_hf(tmp_path)(TOKENS)
    assert largest_difference(theirs, ours) < 1e-5 * max(1.0, theirs.abs().max().item())


def test_gpt2_names_without_a_prefix_are_read(tmp_path: Path) -> None:
    network = stirred_network(SHAPES["gpt2"])
    save_hf(network, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    bare = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    save_file(bare, tmp_path / "model.safetensors")
    assert torch.equal(load_hf(tmp_path)(TOKENS), network(TOKENS))


def test_a_tokenizer_goes_along(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="the extra gradatim[hf]")
    tokenizers = pytest.importorskip("tokenizers")
    words = {"one": 0, "two": 1, "[?]": 2}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[?]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "own.json"))
    save_hf(Network(SHAPES["llama"]), tmp_path / "hf", tokenizer_path=tmp_path / "own.json")
    opened = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    assert opened("two one two")["input_ids"] == [1, 0, 1]


@pytest.fixture
def llama_folder(tmp_path: Path) -> Path:
    save_hf(Network(SHAPES["llama-untied"]), tmp_path)
    return tmp_path


@pytest.fixture
def gpt2_folder(tmp_path: Path) -> Path:
    save_hf(Network(SHAPES["gpt2"]), tmp_path)
    return tmp_path


def change_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in config.items() if value != "gone"}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": "gone"}, r"config.json: the key hidden_size is missing"),
        ({"model_type": "mamba"}, r"expected llama or gpt2; got 'mamba'"),
        (
            {"hidden_act": "relu"},
            r"config.json: hidden_act: a feature .* expected silu; got 'relu'",
        ),
        ({"attention_bias": True}, r"attention_bias: a feature .* expected False; got True"),
        ({"rope_scaling": {"factor": 2}}, r"rope_scaling: a feature this network does not have"),
        ({"rope_parameters": {"rope_type": "yarn"}}, r"rope_type: .* expected default; got 'yarn'"),
        ({"head_dim": 16}, r"head_dim: .* expected hidden_size / num_attention_heads; got 16"),
        ({"num_attention_heads": 3, "head_dim": None}, r"width must be a multiple of num_heads"),
        ({"intermediate_size": 64}, r"layers.0.mlp.up.weight do not fit .* \[128, 32\]"),
        ({"num_hidden_layers": 3}, r"the tensor model.layers.2.input_layernorm.weight is missing"),
    ],
)
def test_a_config_that_cannot_be_followed_is_refused(
    llama_folder: Path, changes: dict[str, Any], message: str
) -> None:
    change_config(llama_folder, **changes)
    with pytest.raises(InputError, match=message):
        load_hf(llama_folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activation_function": "relu"}, "activation_function: a feature"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx: a feature"),
    ],
)
def test_a_gpt2_feature_we_lack_is_refused(
    gpt2_folder: Path, changes: dict[str, Any], message: str
) -> None:
    change_config(gpt2_folder, **changes)
    with pytest.raises(InputError, match=message):
        load_hf(gpt2_folder)


def test_pickled_weights_are_refused_with_a_remedy(llama_folder: Path) -> None:
    (llama_folder / "model.safetensors").rename(llama_folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"never loaded; .* Write them with save_pretrained"):
        load_hf(llama_folder)


def test_missing_and_damaged_files_are_named(llama_folder: Path) -> None:
    (llama_folder / "model.safetensors").write_bytes(b"not tensors at all")
    with pytest.raises(InputError, match=r"model.safetensors: not a readable safetensors file"):
        load_hf(llama_folder)
    (llama_folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="no weights are here"):
        load_hf(llama_folder)
    (llama_folder / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config.json: not valid JSON"):
        load_hf(llama_folder)
    (llama_folder / "config.json").write_text("[]")
    with pytest.raises(InputError, match=r"config.json: not a JSON object"):
        load_hf(llama_folder)
    with pytest.raises(InputError, match=r"nowhere.*config.json: no such file"):
        load_hf(llama_folder / "nowhere")
