"""An exported folder as others use it: transformers in batches, lm-eval, another account."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from gradatim.blocks.store import Store
from gradatim.compute import Shape
from gradatim.errors import InputError
from gradatim.files import writing_whole
from gradatim.model.convert import save_hf
from gradatim.model.network import Network

pytestmark = pytest.mark.timeout(600)  # transformers takes minutes to import from a cold, busy disk

PROMPTS = ["Anna put the red cup", "A", "Where is the key? The key is in the"]


@pytest.fixture(scope="module")
def folder(world_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that says the separator soon, whatever came before."""
    shape = Shape(
        vocab_size=world_store.vocab_size, context_tokens=64, num_layers=2, width=32, num_heads=2
    )
    folder: Path = tmp_path_factory.mktemp("export") / "hf"
    network = Network(shape, key=3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=torch.Generator())
    save_hf(
        network,
        folder,
        tokenizer_path=world_store.tokenizer_path,
        separator_id=world_store.separator_id,
    )
    return folder


def test_the_separator_begins_ends_and_pads_in_every_file(folder: Path, world_store: Store) -> None:
    separator = world_store.tokenizer.id_to_token(world_store.separator_id)
    for role in ("bos", "eos", "pad"):
        for name in ("config.json", "generation_config.json"):
            config = json.loads((folder / name).read_text())
            assert config[f"{role}_token_id"] == world_store.separator_id, (role, name)
        settings = json.loads((folder / "tokenizer_config.json").read_text())
        assert settings[f"{role}_token"] == separator, role


def test_a_batch_generates_what_each_prompt_does_alone_and_stops(
    folder: Path, world_store: Store
) -> None:
    transformers = pytest.importorskip("transformers", reason="the extra gradatim[hf]")
    pipeline = transformers.pipeline("text-generation", model=str(folder))
    settings = {"do_sample": False, "max_new_tokens": 20, "return_full_text": False}
    together = [found[0]["generated_text"] for found in pipeline(PROMPTS, batch_size=3, **settings)]
    alone = [pipeline(prompt, **settings)[0]["generated_text"] for prompt in PROMPTS]
    assert together == alone
    assert len(set(alone)) == len(PROMPTS), alone

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    padded = tokenizer(PROMPTS, return_tensors="pt", padding=True)
    num_given = padded["input_ids"].shape[1]
    ids = pipeline.model.generate(**padded, do_sample=False, max_new_tokens=20)[:, num_given:]
    assert tokenizer.batch_decode(ids, skip_special_tokens=True) == alone

    def ends_at_once(_input_ids: Any, logits: Any) -> Any:
        separator = torch.tensor([world_store.separator_id])
        return torch.zeros_like(logits).index_fill_(1, separator, 1.0)

    ids = pipeline.model.generate(**padded, max_new_tokens=20, logits_processor=[ends_at_once])
    assert ids.shape[1] == num_given + 1


def test_lm_eval_scores_rolls_generates_and_chooses_without_a_context(folder: Path) -> None:
    lm_eval = pytest.importorskip("lm_eval.models.huggingface", reason="the extra gradatim[eval]")
    from lm_eval.api.instance import Instance

    model = lm_eval.HFLM(pretrained=str(folder), device="cpu", batch_size=2)

    def ask(kind: str, *arguments: Any) -> list[Any]:
        asked = [
            Instance(request_type=kind, doc={}, arguments=each, idx=index)
            for index, each in enumerate(arguments)
        ]
        found: list[Any] = getattr(model, kind)(asked)
        return found

    rolled = ask("loglikelihood_rolling", ("Anna put the cup. " * 30,), ("Tom is here.",))
    assert all(value < 0 for value in rolled)
    chosen = ask("loglikelihood", ("", "Tom is here."), ("Where is", " the key?"))
    assert chosen[0][0] == pytest.approx(rolled[1], rel=1e-4)
    until = {"until": ["\n"], "max_gen_toks": 8}
    assert len(ask("generate_until", (PROMPTS[0], until), (PROMPTS[2], until))) == 2


def test_files_have_the_mode_that_the_mask_gives(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from gradatim.compute import Shape
from gradatim.model.convert import save_hf
from gradatim.model.network import Network
shape = Shape(vocab_size=8, context_tokens=8, num_layers=1, width=8, num_heads=1)
save_hf(Network(shape), Path({str(tmp_path)!r}) / "hf")
"""
    subprocess.run([sys.executable, "-c", code], check=True, umask=0o027)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "hf").iterdir()}
    assert set(modes) >= {"config.json", "model.safetensors"}
    assert set(modes.values()) == {0o640}


def test_a_folder_written_whole_is_readable_like_a_file(tmp_path: Path) -> None:
    expected = tmp_path / "ordinary"
    expected.write_text("")
    with writing_whole(tmp_path / "folder") as partial:
        partial.mkdir()
        os.close(os.open(partial / "secret", os.O_CREAT | os.O_WRONLY, 0o600))
    assert (tmp_path / "folder" / "secret").stat().st_mode == expected.stat().st_mode


def test_an_export_replaces_an_export_and_nothing_else(tmp_path: Path) -> None:
    network = Network(Shape(vocab_size=8, context_tokens=8, num_layers=1, width=8, num_heads=1))
    save_hf(network, tmp_path / "hf")
    save_hf(network, tmp_path / "hf")
    for name, content in (("config.json", '{"mine": 1}'), ("notes.txt", "mine")):
        used = tmp_path / name.partition(".")[0]
        save_hf(network, used)
        (used / name).write_text(content)
        before = {path.name: path.read_bytes() for path in used.iterdir()}
        with pytest.raises(InputError, match=r"is in use: an export .* got one with"):
            save_hf(network, used)
        assert {path.name: path.read_bytes() for path in used.iterdir()} == before
