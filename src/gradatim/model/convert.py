"""Networks to and from Hugging Face folders (`LlamaForCausalLM`, `GPT2LMHeadModel`), losslessly.

Only safetensors and JSON are written and read; transformers is not needed, and nothing is ever
unpickled. What is where in the two layouts: `layouts`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer

from gradatim.compute import Shape
from gradatim.errors import InputError
from gradatim.files import write_json, write_whole, writing_whole
from gradatim.model.layouts import (
    Config,
    Stored,
    Tensors,
    gpt2_config,
    gpt2_from_hf,
    gpt2_shape,
    gpt2_to_hf,
    llama_config,
    llama_from_hf,
    llama_shape,
    llama_to_hf,
)
from gradatim.model.network import Network
from gradatim.model.tensors import save_tensors

_MARK = {"exported_by": "gradatim"}  # in config.json, which transformers reads past
_EXPORTED = {
    "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
    "tokenizer_config.json",
}  # fmt: skip
_SEPARATOR_ROLES = ("bos", "eos", "pad")


def save_hf(
    network: Network,
    folder: Path | str,
    *,
    tokenizer_path: Path | str | None = None,
    separator_id: int | None = None,
) -> None:
    """Write a folder that `transformers.AutoModelForCausalLM.from_pretrained` opens.

    The separator is the token that begins a text, ends one and pads: what generates stops at it,
    batches are padded with it, and a text is scored from it on.

    Args:
        network: any device; weights are written in their own precision.
        folder: made if missing; an earlier export is replaced.
        tokenizer_path: a `tokenizer.json` to put beside them, for `AutoTokenizer`.
        separator_id: the token between passages.

    Raises:
        InputError: the folder holds what no export wrote.
    """
    folder = Path(folder)
    _check_is_export(folder)
    shape = network.shape
    own = {name: tensor.detach().cpu() for name, tensor in network.named_parameters()}
    layout = llama_to_hf if shape.family == "llama" else gpt2_to_hf
    config = llama_config(shape) if shape.family == "llama" else gpt2_config(shape)
    config["dtype"] = str(network.embedding.weight.dtype).removeprefix("torch.")
    special = dict.fromkeys((f"{role}_token_id" for role in _SEPARATOR_ROLES), separator_id)
    write_json(folder / "config.json", _MARK | config | special)
    write_json(folder / "generation_config.json", special)
    tensors = {name: tensor.contiguous() for name, tensor in layout(own, shape).items()}
    with writing_whole(folder / "model.safetensors") as partial:
        save_tensors(tensors, partial, metadata={"format": "pt"})
    if tokenizer_path is not None:
        write_whole(folder / "tokenizer.json", Path(tokenizer_path).read_bytes())
        settings: dict[str, Any] = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": shape.context_tokens,
            "clean_up_tokenization_spaces": False,
            "padding_side": "left",  # what is generated goes on from the end of every row
        }
        if separator_id is not None:
            separator = Tokenizer.from_file(str(tokenizer_path)).id_to_token(separator_id)
            settings |= dict.fromkeys((f"{role}_token" for role in _SEPARATOR_ROLES), separator)
        write_json(folder / "tokenizer_config.json", settings)


def _check_is_export(folder: Path) -> None:
    """Refuse to write among files that no export wrote: their names may be the same.

    Raises:
        InputError: naming one of them.
    """
    found = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if "config.json" in found and _read_json(folder / "config.json").items() >= _MARK.items():
        found -= _EXPORTED
    if found:
        raise InputError(
            "is in use: an export is written to a folder of its own",
            where=str(folder),
            expected="a new or empty folder, or an earlier export",
            got=f"one with {min(found)}",
        )


def load_hf(folder: Path | str) -> Network:
    """Read a Hugging Face folder as a network, in float32.

    Raises:
        InputError: a folder that is incomplete, of another architecture or with a feature the
            network does not have; the message names the file and the key.
    """
    folder = Path(folder)
    config = _read_json(folder / "config.json")
    readers = {"llama": (llama_shape, llama_from_hf), "gpt2": (gpt2_shape, gpt2_from_hf)}
    model_type = config.get("model_type")
    if model_type not in readers:
        raise InputError(
            "not an architecture this network has",
            where=f"{folder / 'config.json'}: model_type",
            expected=" or ".join(readers),
            got=repr(model_type),
        )
    read_shape, layout = readers[model_type]
    try:
        shape = Shape.model_validate(read_shape(Config(folder / "config.json", config)))
    except ValidationError as error:
        reasons = "; ".join(problem["msg"] for problem in error.errors())
        raise InputError(reasons, where=str(folder / "config.json")) from error
    network = Network(shape)
    with torch.no_grad():
        stored = Stored(folder, _read_tensors(folder))
        weights = layout(stored, shape)
        for name, parameter in network.named_parameters():
            if weights[name].shape != parameter.shape:
                raise InputError(
                    f"the tensors for {name} do not fit config.json",
                    where=str(folder),
                    expected=str(list(parameter.shape)),
                    got=str(list(weights[name].shape)),
                )
            parameter.copy_(weights[name])
    return network


def _read_tensors(folder: Path) -> Tensors:
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.exists():
        files = [single]
    elif index.exists():
        weight_map = _read_json(index).get("weight_map", {})
        files = [folder / Path(name).name for name in sorted(set(weight_map.values()))]
    else:
        has_pickle = any(folder.glob("pytorch_model*.bin"))
        raise InputError(
            "only pickled weights are here, which are never loaded"
            if has_pickle
            else "no weights are here",
            where=str(folder),
            expected="model.safetensors or model.safetensors.index.json",
            remedy="Write them with save_pretrained(..., safe_serialization=True)",
        )
    tensors: Tensors = {}
    for path in files:
        try:
            tensors |= load_file(path)
        except (OSError, SafetensorError) as error:
            raise InputError("not a readable safetensors file", where=str(path)) from error
    return tensors


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError("no such file", where=str(path)) from error
    except ValueError as error:
        raise InputError(f"not valid JSON ({error})", where=str(path)) from error
    if not isinstance(values, dict):
        raise InputError("not a JSON object", where=str(path))
    return values
