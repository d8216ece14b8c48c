"""The recipes that come with gradatim: read, priced, built on no device, and run for ten steps."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from gradatim import verbs
from gradatim.blocks.build import build
from gradatim.blocks.spec import StoreSpec
from gradatim.blocks.store import TRAIN, Store
from gradatim.cli import app
from gradatim.compute import Shape, memory_bytes, num_parameters, training_flops
from gradatim.errors import SpecError
from gradatim.model.network import Network
from gradatim.recipe import Recipe
from gradatim.recipes.cost import VOCABULARIES, cost
from gradatim.recipes.published import PublishedRecipe, published_recipes
from gradatim.report.wording import count
from gradatim.settings import read_yaml
from gradatim.study.arms import BASELINE
from gradatim.study.check import check_on_store
from gradatim.study.spec import StudySpec, parse_study
from small_corpus import prose

ROOT = Path(__file__).parents[1]
NUM_STEPS = 10
BLOCK_TOKENS = 32

PUBLISHED = {  # parameters, as the weights that their authors or others gave out have them
    "lfr-gpt2-124m": 124_439_808,
    "lfr-gpt2-345m": 354_823_168,
    "lfr-gpt2-774m": 774_030_080,
    "lfr-gpt2-1.5b": 1_557_611_200,
    "odm-1b": 1_011_781_632,  # Pythia 1B, of the same layers and width
    "ascending-averaged": 1_500_000_000,  # as the paper says
}
LARGE = [*PUBLISHED, "saw", "batch-drop-ramp"]
RECIPES = published_recipes()
NAMES = [recipe.name for recipe in RECIPES]


def study_of(recipe: PublishedRecipe | str, changes: tuple[str, ...] = ()) -> StudySpec:
    found = verbs.recipe(recipe) if isinstance(recipe, str) else recipe
    return parse_study(read_yaml(found.text, where=found.name), where=found.name, changes=changes)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two sources of prose, with the columns of scores that recipes name."""
    folder = tmp_path_factory.mktemp("recipes")
    rows = [
        {
            "id": str(index),
            "text": prose(index, 500),
            "source": "even" if index % 2 == 0 else "odd",
            "quality": math.sin(index),
            "score": math.cos(index),
        }
        for index in range(24)
    ]
    corpus = folder / "corpus.jsonl"
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    settings = {
        "corpus": {"location": str(corpus), "difficulty_columns": ["quality", "score"]},
        "tokenizer": {"vocab_size": 320},
        "block_tokens": BLOCK_TOKENS,
        "max_passage_bytes": 200,
        "held_out_fraction": 0.2,
    }
    return build(StoreSpec.model_validate(settings), folder / "store")


def small(spec: StudySpec, store: Store) -> tuple[str, ...]:
    """Settings under which a run of this study is over in ten steps of four passes."""
    batch_blocks = -(-4 * len(store.ids(TRAIN)) // NUM_STEPS)
    name, shape = next(iter(spec.shapes(vocab_size=2, context_tokens=2).items()))
    narrow = {
        "name": f"narrow-{name}",
        "family": shape.family,
        "num_layers": 2,
        "width": 16,
        "num_heads": 2,
        "tied_embeddings": shape.tied_embeddings,
    }
    budget = {"tokens": NUM_STEPS * batch_blocks * BLOCK_TOKENS}
    evaluation = {"num_points": 2, "num_blocks": 5, "num_samples": 0}
    return (
        f"rungs={json.dumps([narrow])}",
        f"budget={json.dumps(budget)}",
        f"batch_blocks={batch_blocks}",
        "micro_batch_blocks=null",
        f"evaluation={json.dumps(evaluation)}",
    )


def test_the_recipes_asked_for_are_there_and_say_what_they_are() -> None:
    assert set(NAMES) >= {
        *PUBLISHED,
        "saw",
        "batch-drop-ramp",
        "competence-pacing",
        "reading-age-ceiling",
    }
    for recipe in RECIPES:
        assert len(recipe.summary) <= 70
        assert recipe.source == "ours" or recipe.source.startswith("arXiv ")
        assert "# Ours" in recipe.text
        assert all(len(line) <= 100 for line in recipe.text.splitlines())
        assert study_of(recipe).name == recipe.name


def test_a_name_that_is_none_is_answered_with_those_there_are() -> None:
    with pytest.raises(SpecError, match=r"swa: no such recipe; expected one of asc.*mean saw"):
        verbs.recipe("swa")


@pytest.mark.parametrize("recipe", RECIPES, ids=NAMES)
def test_every_arm_is_a_recipe_with_its_controls(recipe: PublishedRecipe) -> None:
    planned = study_of(recipe).planned_arms()
    methods = {name for name, arm in planned.items() if arm.control is None} - {BASELINE}
    assert methods
    for name, arm in planned.items():
        text = arm.recipe.to_yaml()
        assert Recipe.parse(read_yaml(text, where=name), where=name) == arm.recipe
        if name in methods:
            assert {f"{name}-{kind}" for kind in arm.recipe.controls()} <= planned.keys()
            is_of_the_rate_alone = arm.recipe.data.kind == "uniform"
            assert is_of_the_rate_alone or len(arm.recipe.controls()) >= 2


def test_the_phases_written_out_are_the_published_ones() -> None:
    preset = Recipe.model_validate({"data": {"kind": "phases", "phases": "lfr"}})
    plain = {}
    for name in ("lfr-gpt2-124m", "lfr-gpt2-345m", "lfr-gpt2-774m", "lfr-gpt2-1.5b"):
        spec = study_of(name)
        assert spec.recipes()["lfr"].data == preset.data
        values = spec.model_dump(exclude={"name", "rungs", "batch_blocks", "micro_batch_blocks"})
        values["recipe"]["rate"].pop("peak")
        plain[name] = values
    assert all(values == plain["lfr-gpt2-124m"] for values in plain.values())


@pytest.mark.parametrize("name", LARGE)
def test_a_large_network_has_the_parameters_that_are_counted(name: str) -> None:
    spec = study_of(name)
    (found,) = cost(spec)
    assert spec.store is not None
    tokenizer = spec.store.tokenizer
    vocabulary = VOCABULARIES[tokenizer.hf] if tokenizer.hf else tokenizer.vocab_size
    sizes = {"vocab_size": vocabulary, "context_tokens": spec.store.block_tokens}
    ((rung, shape),) = spec.shapes(**sizes).items()
    with torch.device("meta"):
        network = Network(shape, key="unused")
    there = sum(weight.numel() for weight in network.parameters())
    assert rung == found.rung
    assert there == found.num_parameters == num_parameters(shape)
    if name in PUBLISHED:
        assert there == pytest.approx(PUBLISHED[name], rel=0.01)
    if name.startswith("lfr"):
        assert there == PUBLISHED[name]


def test_a_cost_is_what_one_works_out_by_hand() -> None:
    (found,) = verbs.recipe_cost("odm-1b")
    shape = Shape(
        family="gpt2", vocab_size=50_277, context_tokens=1024, num_layers=16, width=2048,
        num_heads=16, tied_embeddings=False,
    )  # fmt: skip
    assert found.num_steps == 100_000
    assert found.num_tokens == 100_000 * 480 * 1024
    # 6 N a token, and three times 4 T C L for the scores
    matrices = 16 * 12 * 2048**2 + 50_277 * 2048
    by_hand = found.num_tokens * (6 * matrices + 12 * 1024 * 2048 * 16)
    assert found.flops == by_hand == training_flops(shape, found.num_tokens)
    assert found.device_hours == pytest.approx(by_hand / 0.4 / 989e12 / 3600)
    held = memory_bytes(shape, batch_blocks=20, activation_bytes=2)
    assert found.memory_bytes == sum(held.values())
    assert found.num_runs == 4 * 3


def test_averages_of_the_weights_are_in_the_memory() -> None:
    with_them, without = (
        cost(study_of("ascending-averaged", changes))[0]
        for changes in ((), ("recipe.rate={kind: constant}",))
    )
    assert with_them.memory_bytes - without.memory_bytes == 7 * 4 * with_them.num_parameters


@pytest.mark.parametrize("name", NAMES)
def test_ten_steps_of_a_narrow_network(name: str, store: Store, tmp_path: Path) -> None:
    """What `show` prints goes into `train`, and into a study's checks."""
    shown = CliRunner().invoke(app, ["recipes", "show", name])
    file = tmp_path / "recipe.yaml"
    file.write_text(shown.stdout, encoding="utf-8")
    spec = study_of(name)
    changes = small(spec, store)
    arm = list(spec.arms)[-1]
    asked = None if len(spec.arms) == 1 else arm
    record = verbs.train(
        store.path, folder=tmp_path / "run", recipe_file=file, arm=asked, changes=changes
    )
    assert record.finish is not None
    steps = record.finish["step"]
    assert steps == NUM_STEPS or (record.spec.recipe.rate.batch and steps > NUM_STEPS)
    assert record.finish["matches_plan"] is True
    assert record.spec.arm == arm
    assert record.spec.recipe == spec.recipes()[arm]
    assert record.spec.optimizer == spec.optimizer
    values = read_yaml(shown.stdout, where=name)
    del values["store"]
    there = parse_study(values | {"store_path": str(store.path)}, where=name, changes=changes)
    check_on_store(there, store)


def test_train_asks_which_arm_and_rung_of_a_study(store: Store, tmp_path: Path) -> None:
    def refused(name: str, message: str, **asked: Any) -> None:
        file = tmp_path / f"{name}.yaml"
        file.write_text(verbs.recipe(name).text, encoding="utf-8")
        with pytest.raises(SpecError, match=message):
            verbs.train(store.path, folder=tmp_path / "run", recipe_file=file, **asked)

    refused("saw", r"arm: which one\?; expected one of uniform, ascending, .*saw-reversed")
    refused("competence-pacing", r"rung: which one\?; expected one of 200k, 500k")
    refused("saw", "arm: the study has none of that name; .*got swa. Did you mean saw", arm="swa")
    refused("odm-1b", "rung: the study has none of that name; expected neox-1b", rung="200k")
    with pytest.raises(SpecError, match="arm: a recipe has no arms"):
        verbs.train(store.path, folder=tmp_path, arm="saw", rung="10k", tokens=1000)
    with pytest.raises(SpecError, match="tokens: a recipe alone"):
        verbs.train(store.path, folder=tmp_path / "run", rung="10k")
    with pytest.raises(SpecError, match="rung: a recipe alone says nothing of the network"):
        verbs.train(store.path, folder=tmp_path)
    assert not (tmp_path / "run").exists()


def test_settings_beside_a_study_take_the_place_of_its_own(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "competence.yaml"
    file.write_text(verbs.recipe("competence-pacing").text, encoding="utf-8")
    record = verbs.train(
        store.path,
        folder=tmp_path / "run",
        recipe_file=file,
        arm="competence-shuffled",
        rung="200k",
        tokens=3 * 2 * BLOCK_TOKENS,
        batch_blocks=2,
        seed=7,
        changes=["evaluation.num_blocks=5"],
    )
    spec = record.spec
    assert (spec.rung, spec.seed, spec.batch_blocks) == ("200k", 7, 2)
    assert spec.operation.control is not None
    assert (spec.operation.control.of, spec.operation.control.kind) == ("competence", "shuffled")
    assert record.finish is not None
    assert record.finish["step"] == 3


def row_of(recipe: PublishedRecipe) -> str:
    """Of the table in the documentation."""
    rungs = verbs.recipe_cost(recipe.name)
    number = recipe.source.removeprefix("arXiv ")
    source = "ours" if number == "ours" else f"[{number}](https://arxiv.org/abs/{number})"
    sizes = ", ".join(count(each.num_parameters) for each in rungs)
    hours = max(each.device_hours for each in rungs)
    told = f"{hours:.3g}" if hours > 0.01 else "< 0.01"
    runs = sum(each.num_runs for each in rungs)
    tokens = count(rungs[0].num_tokens)
    cells = (f"`{recipe.name}`", recipe.summary, source, sizes, tokens, told, str(runs))
    return f"| {' | '.join(cells)} |"


def test_the_page_has_a_row_for_every_recipe() -> None:
    lines = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("| `")] == list(map(row_of, RECIPES))


def test_the_commands_print_them() -> None:
    def call(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["recipes", *arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    assert [each["name"] for each in json.loads(call("--json"))] == NAMES
    listed = call()
    assert all(recipe.summary in listed for recipe in RECIPES)
    assert call("show", "saw") == verbs.recipe("saw").text
    assert json.loads(call("show", "saw", "--json"))["source"] == "arXiv 2605.30334"
    assert "H100-hours" in call("cost", "lfr-gpt2-124m")
    assert "more than the 80" in call("cost", "ascending-averaged")
    (priced,) = json.loads(call("cost", "lfr-gpt2-124m", "--json"))
    assert priced["num_parameters"] == PUBLISHED["lfr-gpt2-124m"]
    for sub in ("show", "cost"):
        assert f"Example: gradatim recipes {sub} " in call(sub, "--help")
