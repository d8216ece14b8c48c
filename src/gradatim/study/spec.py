"""The question as one file: corpus, ladder, arms, controls, seeds and budget.

`study.yaml` is validated whole before the first FLOP is spent. A study is a product: every rung is
trained under every arm with every seed, and a run is named by a hash of its complete
specification, so that the same question asked twice is answered from the records.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from gradatim.blocks.spec import StoreSpec
from gradatim.blocks.store import Store
from gradatim.changes import Holds, with_changes
from gradatim.compute import (
    LADDER,
    Shape,
    num_matmul_parameters,
    rung_shape,
    training_flops,
)
from gradatim.errors import SpecError
from gradatim.recipe import Recipe, Scoring
from gradatim.record.spec import (
    EvaluationSpec,
    Operation,
    OptimizerSpec,
    RunSpec,
    StoreReference,
)
from gradatim.settings import read_yaml_file, validated
from gradatim.study.arms import (
    BASELINE,
    BASELINE_RECIPE,
    Cell,
    PlannedArm,
    check_schedules,
    check_searchable,
    merged,
    planned_arms,
)
from gradatim.study.rungs import NAME, OwnRung, RungEntry
from gradatim.study.tuning import TuneSpec
from gradatim.timelines.rate import Rate
from gradatim.train.device import kind_and_format
from gradatim.train.identity import store_reference

MAX_SEEDS = 100
MAX_NAME_CHARACTERS = 40  # of a schedule, which is in the names of folders
MAX_BATCH_BLOCKS = 2**20


class BudgetSpec(BaseModel):
    """How much every run may spend; exactly one of the three.

    Attributes:
        flops: the same FLOPs at every rung.
        tokens: FLOPs that train the rung's network on this many tokens.
        tokens_per_parameter: FLOPs that train it on this many tokens a parameter, parameters
            being those that enter matrix products (`compute.num_matmul_parameters`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    flops: float | None = Field(default=None, gt=0, le=1e30)
    tokens: float | None = Field(default=None, gt=0, le=1e18)
    tokens_per_parameter: float | None = Field(default=None, gt=0, le=1e9)

    @model_validator(mode="after")
    def _exactly_one(self) -> BudgetSpec:
        given = [name for name, value in self if value is not None]
        if len(given) != 1:
            raise ValueError(
                "give exactly one of flops, tokens, tokens_per_parameter; "
                f"got {', '.join(given) or 'none'}"
            )
        return self


RecipePart = Annotated[dict[str, Any], Holds(Recipe)]


class StudySpec(BaseModel):
    """One study, complete.

    Attributes:
        name: names the study's folder.
        question: in words, for the head of the report.
        store: how the block store is built, or
        store_path: where one lies already.
        rungs: names of the ladder (`compute.LADDER`), or shapes with a name of their own.
        family: architecture of every rung.
        arms: name to what differs from `recipe`; `uniform` is added when it is missing.
        controls: `auto` adds every arm's controls, which its timelines name.
        sample: `all` draws from the whole training split; `budget` from a random sample of as many
            blocks as a run draws, each drawn once, so that arms differ in order alone.
        seeds: how many (0, 1, ...) or which.
        budget: what every run may spend.
        baseline_budgets: multiples of it with which the baseline alone is trained too, so that what
            more compute buys is read off finished runs.
        batch_blocks: blocks in one step.
        micro_batch_blocks: blocks in one forward pass; null is the whole batch.
        recipe: the timelines all arms share.
        schedules: name to a rate; every arm is trained under each, and no recipe has a rate then.
        optimizer: of every run.
        evaluation: what is measured, and how often.
        tune: a search for every arm's own best settings; arms are then trained under these too.
        checkpoint_every_fraction: of a run's FLOPs.
        checkpoint_every_minutes: and at least so often; null is by FLOPs alone.
        keep_checkpoints_at: points of progress whose checkpoints stay for good.
        scoring: who pays for the model scores that an arm uses; by default each run of it, whole.
        precision: number format of matrix products; `auto` is bfloat16 on CUDA from compute
            capability 8.0, else float32.
        compile: whether networks go through `torch.compile`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=100, pattern=NAME)
    question: str | None = None
    store: StoreSpec | None = None
    store_path: str | None = None
    rungs: tuple[RungEntry, ...] = Field(min_length=1)
    family: Literal["llama", "gpt2"] = "llama"
    arms: dict[str, RecipePart] = Field(min_length=1)
    controls: Literal["auto", "none"] = "auto"
    sample: Literal["all", "budget"] = "all"
    seeds: tuple[int, ...] = Field(min_length=1)
    budget: BudgetSpec
    baseline_budgets: tuple[Annotated[float, Field(ge=1e-3, le=1e3)], ...] = ()
    batch_blocks: int = Field(ge=1, le=MAX_BATCH_BLOCKS)
    micro_batch_blocks: int | None = Field(default=None, ge=1, le=MAX_BATCH_BLOCKS)
    recipe: RecipePart = Field(default_factory=dict)
    schedules: dict[str, Rate] = Field(default_factory=dict)
    optimizer: OptimizerSpec = OptimizerSpec()
    evaluation: EvaluationSpec = EvaluationSpec()
    tune: TuneSpec | None = None
    checkpoint_every_fraction: float = Field(default=0.1, ge=1e-4, le=1)
    checkpoint_every_minutes: float | None = Field(default=10.0, gt=0, allow_inf_nan=False)
    keep_checkpoints_at: tuple[Annotated[float, Field(gt=0, le=1)], ...] = ()
    scoring: Scoring = Scoring()
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: bool = False

    @field_validator("rungs")
    @classmethod
    def _known_rungs(cls, rungs: tuple[str | OwnRung, ...]) -> tuple[str | OwnRung, ...]:
        names = [rung if isinstance(rung, str) else rung.name for rung in rungs]
        unknown = [rung for rung in rungs if isinstance(rung, str) and rung not in LADDER]
        if unknown:
            raise ValueError(f"no rung {', '.join(unknown)}; the ladder is {', '.join(LADDER)}")
        if len(set(names)) < len(names):
            raise ValueError("a rung is named twice")
        return rungs

    @field_validator("baseline_budgets")
    @classmethod
    def _other_budgets(cls, multiples: tuple[float, ...]) -> tuple[float, ...]:
        if 1 in multiples or len(set(multiples)) < len(multiples):
            shown = ", ".join(f"{multiple:g}" for multiple in multiples)
            raise ValueError(f"give multiples other than 1, each once; got {shown}")
        return multiples

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_or_list(cls, seeds: Any) -> Any:
        if isinstance(seeds, int) and not isinstance(seeds, bool):
            if not 1 <= seeds <= MAX_SEEDS:
                raise ValueError(f"give 1 to {MAX_SEEDS} seeds, or a list of them; got {seeds}")
            return tuple(range(seeds))
        return seeds

    @field_validator("seeds")
    @classmethod
    def _seeds_of_their_own(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if min(seeds) < 0 or max(seeds) >= 2**63 or len(set(seeds)) < len(seeds):
            shown = ", ".join(map(str, seeds))
            raise ValueError(f"seeds are whole numbers from 0, each once; got {shown}")
        return seeds

    @field_validator("arms")
    @classmethod
    def _arms_with_names(cls, arms: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        if any(not name.strip() for name in arms):
            raise ValueError("an arm needs a name")
        return arms

    @model_validator(mode="after")
    def _trials_apart(self) -> StudySpec:
        if self.tune is not None and self.tune.seed in self.seeds:
            raise ValueError(f"tune.seed: {self.tune.seed} is a seed of the study; give another")
        return self

    @field_validator("schedules")
    @classmethod
    def _schedules_with_names(cls, schedules: dict[str, Rate]) -> dict[str, Rate]:
        for name in schedules:
            if not re.match(NAME, name) or len(name) > MAX_NAME_CHARACTERS:
                raise ValueError(f"{name!r} is no name for a schedule: give letters, digits, . _ -")
        return schedules

    @model_validator(mode="after")
    def _one_store(self) -> StudySpec:
        if (self.store is None) == (self.store_path is None):
            raise ValueError("give either store (how to build one) or store_path (where one is)")
        return self

    def planned_arms(self, schedule: str | None = None) -> dict[str, PlannedArm]:
        """Every arm with its recipe, controls included, the baseline first.

        Args:
            schedule: whose rate they have, where the study has schedules; by default the first.

        Raises:
            SpecError: an arm that is no recipe, is named as the baseline and is none, means the
                same as another, or whose name a control needs.
        """
        rates = self.schedules
        return planned_arms(
            self.arms,
            self.recipe,
            sample=self.sample,
            brings_controls=self.controls == "auto",
            rate=rates[schedule or next(iter(rates))] if rates else None,
        )

    def recipes(self) -> dict[str, Recipe]:
        """Every arm's recipe; raises as `planned_arms` does."""
        return {name: arm.recipe for name, arm in self.planned_arms().items()}

    def shapes(self, *, vocab_size: int, context_tokens: int) -> dict[str, Shape]:
        """The network of every rung on a store, by the rung's name."""
        sizes: dict[str, Any] = {
            "vocab_size": vocab_size,
            "context_tokens": context_tokens,
            "family": self.family,
        }
        shapes = {}
        for rung in self.rungs:
            if isinstance(rung, str):
                shapes[rung] = rung_shape(rung, **sizes)
            else:
                shapes[rung.name] = rung.shape(**sizes)
        return shapes

    def cells(self) -> list[Cell]:
        """What is trained at every rung with every seed: the arms, schedule by schedule.

        Raises:
            SpecError: as `planned_arms` does.
        """
        cells = []
        for schedule in self.schedules or (None,):
            arms = self.planned_arms(schedule)
            cells += [Cell(arm, planned, 1.0, schedule) for arm, planned in arms.items()]
            cells += [
                Cell(BASELINE, arms[BASELINE], multiple, schedule)
                for multiple in self.baseline_budgets
            ]
        return cells

    def budget_flops(self, shape: Shape) -> float:
        """What one run of this shape may spend."""
        if self.budget.flops is not None:
            return self.budget.flops
        tokens = self.budget.tokens
        if tokens is None:
            assert self.budget.tokens_per_parameter is not None
            tokens = self.budget.tokens_per_parameter * num_matmul_parameters(shape)
        return tokens * training_flops(shape, shape.context_tokens) / shape.context_tokens

    def runs(self, store: Store) -> list[RunSpec]:
        """Every run of the study: rung by rung, schedule by schedule, arm by arm, seed by seed.

        Raises:
            StoreError: an arm uses scores that are not beside the store.
        """
        shapes = self.shapes(vocab_size=store.vocab_size, context_tokens=store.block_tokens)
        cells = self.cells()
        references = {each.arm: store_reference(store, each.planned.recipe) for each in cells}
        return self._runs(shapes, cells, references)

    def runs_before_store(self, *, vocab_size: int, context_tokens: int) -> list[RunSpec]:
        """The same for a store not built yet: what they cost is right, their ids are not."""
        shapes = self.shapes(vocab_size=vocab_size, context_tokens=context_tokens)
        cells = self.cells()
        nowhere = StoreReference(path="", fingerprint="")
        return self._runs(shapes, cells, dict.fromkeys((each.arm for each in cells), nowhere))

    def _runs(
        self,
        shapes: Mapping[str, Shape],
        cells: Sequence[Cell],
        references: Mapping[str, StoreReference],
    ) -> list[RunSpec]:
        device, precision = kind_and_format(self.precision)
        return [
            RunSpec(
                store=references[each.arm],
                rung=rung,
                seed=seed,
                shape=shape,
                recipe=each.planned.recipe,
                budget_flops=self.budget_flops(shape) * each.multiple,
                batch_blocks=self.batch_blocks,
                micro_batch_blocks=self.micro_batch_blocks,
                optimizer=self.optimizer,
                evaluation=self.evaluation,
                scoring=self.scoring,
                device=device,
                precision=precision,
                compile=self.compile,
                operation=Operation(
                    arm=each.arm,
                    control=each.planned.control,
                    budget_multiple=each.multiple,
                    schedule=each.schedule,
                    checkpoint_every_fraction=self.checkpoint_every_fraction,
                    checkpoint_every_minutes=self.checkpoint_every_minutes,
                    keep_checkpoints_at=self.keep_checkpoints_at,
                ),
            )
            for rung, shape in shapes.items()
            for each in cells
            for seed in self.seeds
        ]

    def to_yaml(self) -> str:
        """The study as a file that `load_study` reads back."""
        values = self.model_dump(mode="json", exclude_defaults=True)
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def load_study(path: Path | str, changes: Sequence[str] = ()) -> StudySpec:
    """Read and validate a study file.

    Args:
        path: of the file.
        changes: settings laid over it, each `a.b=value` (`gradatim.changes`).

    Raises:
        SpecError: the file, the path to the setting, what was expected, what came.
    """
    return parse_study(read_yaml_file(Path(path)), where=str(path), changes=changes)


def parse_study(values: Mapping[str, Any], *, where: str, changes: Sequence[str] = ()) -> StudySpec:
    """Validate a study given as a mapping; relative corpus paths are left as they are.

    Raises:
        SpecError: naming `where`, the setting, what was expected and what came.
    """
    if changes:
        values = with_changes(StudySpec, values, changes, where=where)
        where = f"{where} with --set {' '.join(changes)}"
    spec = validated(StudySpec, values, where=where)
    try:
        check_schedules(spec.schedules, spec.arms, spec.recipe)
        validated(Recipe, merged(BASELINE_RECIPE, spec.recipe), where="", inside="recipe")
        spec.planned_arms()
        if spec.tune is not None and spec.tune.rate:
            check_searchable(spec.cells())
    except SpecError as error:
        error.where = f"{where}: {error.where}"
        raise SpecError(**vars(error)) from None
    return spec
