"""The same numbers in another order: our weights and configuration, and those of Hugging Face.

- queries, keys and values (and gate and up) are one matrix here and three (two) there;
- rotary positions turn neighbouring channels (2d, 2d + 1) here and (d, d + D/2) there, so the
  rows of queries and keys are reordered within each head;
- GPT-2 keeps its matrices transposed, for its `Conv1D`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gradatim.compute import Shape
from gradatim.errors import InputError

Tensors = dict[str, Tensor]


class Config:
    """`config.json`, with errors that name the file and the key."""

    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        self._path, self._values = path, values

    def get(self, key: str, default: Any) -> Any:
        return self._values.get(key, default)

    def __getitem__(self, key: str) -> Any:
        if key not in self._values:
            raise InputError(f"the key {key} is missing", where=str(self._path))
        return self._values[key]

    def refuse(self, key: str, expected: object, got: object) -> None:
        raise InputError(
            "a feature this network does not have",
            where=f"{self._path}: {key}",
            expected=str(expected),
            got=repr(got),
        )

    def require_value(self, key: str, expected: object, *, default: object) -> None:
        """Refuse any value but the expected one and, for a missing key, the default."""
        value = self._values.get(key, default)
        if value not in (expected, default):
            self.refuse(key, expected, value)


class Stored:
    """The tensors of a folder, with an error that names a missing one."""

    def __init__(self, folder: Path, tensors: Tensors) -> None:
        self._folder, self.tensors = folder, tensors

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.tensors:
            raise InputError(f"the tensor {name} is missing", where=str(self._folder))
        return self.tensors[name].float()


# Llama


def _pairs_apart(rows: Tensor, head_width: int) -> Tensor:
    """Rows of each head from (2d, 2d + 1) to (d, d + D/2)."""
    return rows.view(-1, head_width // 2, 2, rows.shape[1]).transpose(1, 2).reshape(rows.shape)


def _pairs_together(rows: Tensor, head_width: int) -> Tensor:
    """Rows of each head from (d, d + D/2) to (2d, 2d + 1)."""
    return rows.view(-1, 2, head_width // 2, rows.shape[1]).transpose(1, 2).reshape(rows.shape)


_LLAMA_LAYER = {
    "attention_norm.weight": "input_layernorm.weight",
    "attention.out.weight": "self_attn.o_proj.weight",
    "mlp_norm.weight": "post_attention_layernorm.weight",
    "mlp.down.weight": "mlp.down_proj.weight",
}


def llama_to_hf(own: Mapping[str, Tensor], shape: Shape) -> Tensors:
    hf = {
        "model.embed_tokens.weight": own["embedding.weight"],
        "model.norm.weight": own["final_norm.weight"],
    }
    if not shape.tied_embeddings:
        hf["lm_head.weight"] = own["head.weight"]
    for index in range(shape.num_layers):
        ours, theirs = f"layers.{index}.", f"model.layers.{index}."
        for name, hf_name in _LLAMA_LAYER.items():
            hf[theirs + hf_name] = own[ours + name]
        qkv = own[ours + "attention.qkv.weight"]
        q, k, v = torch.split(qkv, [shape.width, shape.kv_width, shape.kv_width])
        hf[theirs + "self_attn.q_proj.weight"] = _pairs_apart(q, shape.head_width)
        hf[theirs + "self_attn.k_proj.weight"] = _pairs_apart(k, shape.head_width)
        hf[theirs + "self_attn.v_proj.weight"] = v
        gate, up = own[ours + "mlp.up.weight"].chunk(2)
        hf[theirs + "mlp.gate_proj.weight"] = gate
        hf[theirs + "mlp.up_proj.weight"] = up
    return hf


def llama_from_hf(hf: Stored, shape: Shape) -> Tensors:
    own = {
        "embedding.weight": hf["model.embed_tokens.weight"],
        "final_norm.weight": hf["model.norm.weight"],
    }
    if not shape.tied_embeddings:
        own["head.weight"] = hf["lm_head.weight"]
    for index in range(shape.num_layers):
        ours, theirs = f"layers.{index}.", f"model.layers.{index}."
        for name, hf_name in _LLAMA_LAYER.items():
            own[ours + name] = hf[theirs + hf_name]
        q = _pairs_together(hf[theirs + "self_attn.q_proj.weight"], shape.head_width)
        k = _pairs_together(hf[theirs + "self_attn.k_proj.weight"], shape.head_width)
        v = hf[theirs + "self_attn.v_proj.weight"]
        own[ours + "attention.qkv.weight"] = torch.cat((q, k, v))
        gate, up = hf[theirs + "mlp.gate_proj.weight"], hf[theirs + "mlp.up_proj.weight"]
        own[ours + "mlp.up.weight"] = torch.cat((gate, up))
    return own


def llama_config(shape: Shape) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocab_size,
        "max_position_embeddings": shape.context_tokens,
        "num_hidden_layers": shape.num_layers,
        "hidden_size": shape.width,
        "num_attention_heads": shape.num_heads,
        "num_key_value_heads": shape.num_kv_heads,
        "head_dim": shape.head_width,
        "intermediate_size": shape.mlp_width,
        "tie_word_embeddings": shape.tied_embeddings,
        "rms_norm_eps": shape.norm_epsilon,
        "rope_theta": shape.rope_theta,
        "rope_parameters": {"rope_theta": shape.rope_theta, "rope_type": "default"},
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
    }


def llama_shape(config: Config) -> dict[str, Any]:
    config.require_value("hidden_act", "silu", default="silu")
    config.require_value("attention_bias", False, default=False)
    config.require_value("mlp_bias", False, default=False)
    config.require_value("rope_scaling", None, default=None)
    rope = config.get("rope_parameters", None) or {}
    if rope.get("rope_type", "default") != "default":
        config.refuse("rope_parameters.rope_type", "default", rope["rope_type"])
    num_heads, width = config["num_attention_heads"], config["hidden_size"]
    head_width = config.get("head_dim", None)
    if head_width is not None and head_width * num_heads != width:
        config.refuse("head_dim", "hidden_size / num_attention_heads", head_width)
    return {
        "family": "llama",
        "vocab_size": config["vocab_size"],
        "context_tokens": config["max_position_embeddings"],
        "num_layers": config["num_hidden_layers"],
        "width": width,
        "num_heads": num_heads,
        "num_kv_heads": config.get("num_key_value_heads", None) or num_heads,
        "mlp_width": config["intermediate_size"],
        "tied_embeddings": config.get("tie_word_embeddings", False),
        "rope_theta": rope.get("rope_theta", config.get("rope_theta", 10_000.0)),
        "norm_epsilon": config["rms_norm_eps"],
    }


# GPT-2

_GPT2_VECTORS = {
    "attention_norm.weight": "ln_1.weight",
    "attention_norm.bias": "ln_1.bias",
    "attention.qkv.bias": "attn.c_attn.bias",
    "attention.out.bias": "attn.c_proj.bias",
    "mlp_norm.weight": "ln_2.weight",
    "mlp_norm.bias": "ln_2.bias",
    "mlp.up.bias": "mlp.c_fc.bias",
    "mlp.down.bias": "mlp.c_proj.bias",
}
_GPT2_MATRICES = {
    "attention.qkv.weight": "attn.c_attn.weight",
    "attention.out.weight": "attn.c_proj.weight",
    "mlp.up.weight": "mlp.c_fc.weight",
    "mlp.down.weight": "mlp.c_proj.weight",
}
_GPT2_ENDS = {
    "embedding.weight": "wte.weight",
    "positions.weight": "wpe.weight",
    "final_norm.weight": "ln_f.weight",
    "final_norm.bias": "ln_f.bias",
}


def gpt2_to_hf(own: Mapping[str, Tensor], shape: Shape) -> Tensors:
    hf = {"transformer." + hf_name: own[name] for name, hf_name in _GPT2_ENDS.items()}
    if not shape.tied_embeddings:
        hf["lm_head.weight"] = own["head.weight"]
    for index in range(shape.num_layers):
        ours, theirs = f"layers.{index}.", f"transformer.h.{index}."
        hf |= {theirs + hf_name: own[ours + name] for name, hf_name in _GPT2_VECTORS.items()}
        hf |= {theirs + hf_name: own[ours + name].t() for name, hf_name in _GPT2_MATRICES.items()}
    return hf


def gpt2_from_hf(hf: Stored, shape: Shape) -> Tensors:
    prefix = "transformer." if "transformer.wte.weight" in hf.tensors else ""  # "gpt2" has none
    own = {name: hf[prefix + hf_name] for name, hf_name in _GPT2_ENDS.items()}
    if not shape.tied_embeddings:
        own["head.weight"] = hf["lm_head.weight"]
    for index in range(shape.num_layers):
        ours, theirs = f"layers.{index}.", f"{prefix}h.{index}."
        own |= {ours + name: hf[theirs + hf_name] for name, hf_name in _GPT2_VECTORS.items()}
        own |= {ours + name: hf[theirs + hf_name].t() for name, hf_name in _GPT2_MATRICES.items()}
    return own


def gpt2_config(shape: Shape) -> dict[str, Any]:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": shape.vocab_size,
        "n_positions": shape.context_tokens,
        "n_layer": shape.num_layers,
        "n_embd": shape.width,
        "n_head": shape.num_heads,
        "n_inner": shape.mlp_width,
        "tie_word_embeddings": shape.tied_embeddings,
        "layer_norm_epsilon": shape.norm_epsilon,
        "activation_function": "gelu_new",
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
    }


def gpt2_shape(config: Config) -> dict[str, Any]:
    config.require_value("activation_function", "gelu_new", default="gelu_new")
    config.require_value("scale_attn_weights", True, default=True)
    config.require_value("scale_attn_by_inverse_layer_idx", False, default=False)
    width = config["n_embd"]
    return {
        "family": "gpt2",
        "vocab_size": config["vocab_size"],
        "context_tokens": config["n_positions"],
        "num_layers": config["n_layer"],
        "width": width,
        "num_heads": config["n_head"],
        "mlp_width": config.get("n_inner", None) or 4 * width,
        "tied_embeddings": config.get("tie_word_embeddings", True),
        "norm_epsilon": config.get("layer_norm_epsilon", 1e-5),
    }
