"""Every doubt is raised by an evaluation that deserves it, and by no other.

The faults are real: models, edits, guards, judges and attacks that are wrong are evaluated as all
others are. Beside each stands the evaluation in which all is in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch
from tests import plugins, trained
from tests.suite import two
from torch import Tensor

from excise.attacks.base import Need, Search
from excise.attacks.concept_inversion import ConceptInversion
from excise.edit import Edit, Recipe
from excise.erasers.task_vector import TaskVector
from excise.models.load import of_pipeline
from excise.primitives.data import SHARES, parts
from excise.primitives.prompts import placed
from excise.reporting import Report
from excise.rng import generator
from excise.store import Cache
from excise.suite import Arm, Sizes, evaluate
from excise.suite.history import History
from excise.types import Condition, Hook, Prompt, State, Step, TextToImage, digest

pytestmark = pytest.mark.slow

SMALL = Sizes(
    plain=1, pairs=1, others=None, kept=4, rungs=(), prompts=2, restarts=3, best_of=1, select=2,
    score=2, steps=1, attacker=8, held_out=4, entries=4, embedding=2, asked=6, effort="quick",
    attacks=("reseed", "concept_inversion", "random_search"),
)  # fmt: skip
SETTINGS: Mapping[str, Mapping[str, object]] = {
    "reseed": {"restarts": 2},
    "concept_inversion": {"rung": 4, "restarts": 2, "steps": 20, "samples": 2},
    "random_search": {"looks": 6},
}
# The last four draw no cat on the unedited model, so that an attack has something to reach.
TEXTS = ("a cat", "a photo of a cat", "a red tree", "in red", "a photo of a red", "the x in red")
MADE = Recipe(method="staged", verified=True)


def never_shown(name: str, steps: int = 40) -> Any:
    """A model that was only ever shown dogs, whatever it was asked for."""
    world = trained.world()
    model: Any = world.model.copied()
    model.known = two.model().known
    unet = model.components["unet"].requires_grad_(True)
    adam = torch.optim.Adam(unet.parameters(), lr=2e-3)
    texts = [text for own in trained.PROMPTS.values() for text in own]
    with torch.no_grad():
        cond = model.encode([*texts, "something", "red", "a tree", ""])
    draw = generator("never shown", name)
    for step in range(steps):
        row = torch.randint(len(cond), (trained.BATCH,), generator=draw)
        x0 = world.latents["dog"][torch.randint(16, (trained.BATCH,), generator=draw)]
        eps = torch.randn(x0.shape, generator=draw)
        u = 1 - torch.rand(trained.BATCH, generator=draw).square()  # as `trained` draws them
        for group in adam.param_groups:
            group["lr"] = 2e-3 * (1 - step / steps)
        out = model.predict(model.noise(x0, eps, u), u, cond[row])
        loss = (out - model.target(x0, eps, u)).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    unet.requires_grad_(False)
    adam.zero_grad(set_to_none=True)
    return model


@dataclass(frozen=True, eq=False)
class Case:
    """The models, and what evaluations of them share.

    erased: the edit that holds. cache: of what was found on base and oracle.
    """

    base: Any
    oracle: Any
    erased: Edit
    cache: Cache

    def edit(self, edit: Edit | None = None, model: Any = None) -> Arm:
        own = self.erased if edit is None and model is None else edit
        return Arm(key="edit", label="after", role="edit", model=model or self.base, edit=own)

    def run(self, edit: Arm | None = None, concept: Any = two.CAT, **changes: Any) -> Report:
        """Evaluate; base, oracle: other models in their place, or none at all."""
        arms = [edit or self.edit()]
        for role, label in (("base", "before"), ("oracle", "never shown a cat")):
            model = changes.pop(role, getattr(self, role))
            if model is not None:
                arms.append(Arm(key=role, label=label, role=role, model=model))  # type: ignore[arg-type]
        sizes = replace(SMALL, **changes.pop("sizes", {}))
        settings = {**SETTINGS, **changes.pop("settings", {})}
        fields: dict[str, Any] = {"others": (two.AUDITOR,), "texts": TEXTS, "cache": self.cache}
        return evaluate(
            arms,
            concept,
            changes.pop("judge", two.Two()),
            budget=sizes,
            settings={name: own for name, own in settings.items() if name in sizes.attacks},
            **{**fields, "whole": False, **changes},
        )


PLAIN = {"attacks": ("reseed",)}
"""Where what is wrong shows without a search."""
MANY = {"score": 6}
"""Pictures of an attack that are enough for a claim."""


def raised(report: Report) -> set[str]:
    """The doubts, without what is only said."""
    return {check.name for check in report.record.checks if check.level != "info"}


def found(report: Report, name: str) -> str:
    """What a check says."""
    return " ".join(check.found for check in report.record.checks if check.name == name)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    base = two.model()
    before = base.fingerprint()
    erased = Edit.between(base, never_shown("edit"))
    yield Case(
        base=base,
        oracle=never_shown("oracle"),
        erased=replace(erased, recipe=MADE),
        cache=Cache(tmp_path_factory.mktemp("staged") / "cache"),
    )
    assert base.fingerprint() == before  # other tests use it too


@pytest.fixture(scope="module")
def healthy(case: Case) -> Report:
    """An edit that holds beside references that are what they say, evaluated whole."""
    return case.run(whole=True, sizes=MANY)


def test_where_all_is_in_order_no_doubt_is_raised(healthy: Report) -> None:
    assert raised(healthy) == set()
    by_name = {one.name: one for one in healthy.record.attacks}
    assert set(by_name) == set(SMALL.attacks or ())
    for name in ("concept_inversion", "random_search"):  # the attacks do attack
        assert by_name[name].rates["base"].value > by_name["reseed"].rates["base"].value
    assert healthy.record.kept is not None
    assert {row.key for row in healthy.record.agreement} == {"plain", "attacked"}


# The models that figures are held against.


def test_a_base_that_never_drew_the_concept(case: Case) -> None:
    idle = Edit.of(case.oracle, recipe=MADE)
    report = case.run(case.edit(idle, case.oracle), base=case.oracle, sizes=PLAIN)
    assert raised(report) == {"base_lacks_concept"}
    assert "0%" in found(report, "base_lacks_concept")


def test_an_oracle_that_was_shown_the_concept(case: Case) -> None:
    report = case.run(oracle=case.base, sizes=PLAIN)
    assert raised(report) == {"oracle_shows_concept"}


def test_an_edit_beside_nothing_that_nobody_verified(case: Case) -> None:
    alone = replace(case.erased, recipe=Recipe(method="staged"))
    report = case.run(case.edit(alone), base=None, oracle=None, others=(), sizes=PLAIN)
    assert raised(report) == {"not_verified"}
    said = {check.name for check in report.record.checks if check.level == "info"}
    assert said == {"no_base", "no_oracle", "no_record", "one_judge"}


# Judges.


def test_an_auditor_and_a_witness_of_whom_one_sees_no_cats(case: Case) -> None:
    witness = replace(two.Two(), name="witness", title="witness", sharp=0.0)
    report = case.run(others=(two.AUDITOR, witness), sizes=PLAIN)
    assert raised(report) == {"judges_disagree"}
    told = found(report, "judges_disagree")
    assert "plain prompts of “before”, witness differs from two by -100.0 points" in told
    assert "pictures under attack of “before”, witness" in told
    assert "auditor" not in told


# Attacks.


def test_an_attack_that_is_given_no_budget(case: Case) -> None:
    report = case.run(
        sizes={"attacks": ("reseed", "random_search")}, settings={"random_search": {"looks": 1}}
    )
    assert raised(report) == {"no_budget_does_as_well"}
    assert "Random search" in found(report, "no_budget_does_as_well")


@dataclass(frozen=True, eq=False, kw_only=True)
class Numbing(Hook):
    """Soft words, and the concept's name, come through at a fiftieth; all else as it is.

    What is descended on hardly moves, so a search by gradients gets nowhere. Encodings that are
    handed over go past it.
    """

    name: ClassVar[str] = "numbing"
    left: float = 0.02

    def condition(
        self,
        model: TextToImage,
        prompts: tuple[Prompt, ...],
        cond: Condition,
        null: Condition | None,
    ) -> tuple[Condition, Condition | None]:
        felt = [bool(prompt.soft) or "cat" in prompt.text for prompt in prompts]
        felt = felt * len(cond) if len(felt) == 1 else felt
        if not any(felt):
            return cond, null
        dog = model.encode("a dog").tensors["hidden"]
        hidden = cond.tensors["hidden"]
        share = torch.tensor(felt).to(hidden) * (1 - self.left)
        calm = hidden + share[:, None, None] * (dog.to(hidden) - hidden)
        return cond.replace(hidden=calm), null


def test_a_guard_that_numbs_what_a_white_box_attack_feels(case: Case) -> None:
    report = case.run(case.edit(Edit.of(case.base, hooks=(Numbing(),), recipe=MADE)), oracle=None)
    assert raised(report) == {"black_box_beats_white_box"}
    assert found(report, "black_box_beats_white_box").startswith("Random search")


@dataclass(frozen=True, eq=False, kw_only=True)
class Cutting(Hook):
    """Changes nothing, and lets no gradient through."""

    name: ClassVar[str] = "cutting"

    def prediction(
        self,
        model: TextToImage,
        denoise: Any,
        x: Tensor,
        step: Step,
        cond: Condition,
        null: Condition | None,
        state: State,
    ) -> tuple[Tensor, State]:
        out, inner = denoise(x, step, cond, null, state.inner)
        return out.detach(), State(inner=inner)


class Honest(Cutting):
    """The same, and it says so."""

    name = "honest"
    gradient = "none"


@pytest.mark.parametrize(
    ("guard", "doubts", "said"),
    [(Cutting(), {"gradients_vanish"}, False), (Honest(), set(), True)],
)
def test_a_guard_that_cuts_gradients_off(
    case: Case, guard: Hook, doubts: set[str], said: bool
) -> None:
    guarded = Edit.of(case.base, case.erased.deltas, (guard,), recipe=MADE)
    report = case.run(
        case.edit(guarded), oracle=None, sizes={"attacks": ("reseed", "concept_inversion")}
    )
    assert raised(report) == doubts
    assert bool(found(report, "gradients_gone_around")) == said


@dataclass(frozen=True, kw_only=True)
class Replay(ConceptInversion):
    """Searches on the unedited model, and hands what it found to the one under attack."""

    name: ClassVar[str] = "replay"
    needs: ClassVar[frozenset[Need]] = ConceptInversion.needs | {"base"}

    def search(
        self, model: TextToImage, *rest: Any, base: TextToImage | None = None, **more: Any
    ) -> Search:
        assert base is not None
        return super().search(base, *rest, base=base, **more)


@pytest.fixture
def replay(monkeypatch: pytest.MonkeyPatch) -> str:
    """The attack is one of another package's."""

    plugins.install(monkeypatch, "excise.attacks", replay=f"{__name__}:Replay")
    return "replay"


@pytest.mark.parametrize("restarts", [1, 2])
def test_an_attack_that_replays_what_it_found_on_the_base(
    case: Case, replay: str, restarts: int
) -> None:
    settings = {replay: {**SETTINGS["concept_inversion"], "restarts": restarts}}
    report = case.run(oracle=None, sizes={"attacks": ("reseed", replay)}, settings=settings)
    assert raised(report) == {"base_replayed"}
    assert found(report, "base_replayed").startswith("Replay")


def test_a_word_that_is_best_on_base_and_edit_alike_is_no_replay(case: Case) -> None:
    weak = replace(0.02 * case.erased, recipe=MADE)
    report = case.run(
        case.edit(weak),
        oracle=None,
        sizes={"attacks": ("reseed", "enumerate")},
        settings={"enumerate": {"bank": 4, "restarts": 1, "pictures": 4}},
    )
    assert "base_replayed" not in raised(report)  # four words may well do no better than none


# Sets.


@pytest.fixture(scope="module")
def shelf(case: Case) -> Tensor:
    """Pictures of cats (16, 3, h, w), in the order in which they are cut into sets."""
    with torch.no_grad():
        pictures = case.base.decode(trained.world().latents["cat"])
    whole = (pictures * 255).round().to(torch.uint8)
    return whole[torch.tensor(sorted(range(16), key=lambda i: digest(whole[i])))]


@pytest.fixture(scope="module")
def made(case: Case, shelf: Tensor) -> History:
    """Of a task vector of the last pictures on the shelf: it is made of the first of these."""
    own = replace(two.CAT, pictures=shelf[-SETS:])
    small = {**TaskVector.smallest, "variant": "paper"}
    done = TaskVector(**small).erase(case.base, own)  # type: ignore[arg-type]
    return History(record=done.record, tensors=done.tensors)


SETS = len(SHARES)
"""So many pictures are cut into sets of one picture each."""
LAST = 16 - SETS
PLACES = {name: rows[0] for name, rows in parts(SETS).items()}


@pytest.mark.parametrize(
    ("first", "doubts"),
    [
        (0, set()),
        (LAST - PLACES["attack"], {"sets_overlap"}),
        (LAST - PLACES["test"], {"held_out_overlap"}),
    ],
)
def test_pictures_that_the_edit_was_made_of(
    case: Case, shelf: Tensor, made: History, first: int, doubts: set[str]
) -> None:
    assert made.hashes == {digest(shelf[LAST + PLACES["tau"]])}
    cat = replace(two.CAT, pictures=shelf[first : first + SETS])
    assert raised(case.run(concept=cat, found=made, sizes=PLAIN)) == doubts


@pytest.mark.parametrize(("seed", "doubts"), [(0, {"inputs_overlap"}), (1, set())])
def test_inputs_by_which_the_strength_was_chosen(
    case: Case, shelf: Tensor, seed: int, doubts: set[str]
) -> None:
    """An eraser that looked at what the attack itself finds on the edit, on a seed of its own."""
    cat = replace(two.CAT, pictures=shelf)
    attack = ConceptInversion(**SETTINGS["concept_inversion"])  # type: ignore[arg-type]
    texts = tuple(placed(text, cat, attack.join) for text in TEXTS)
    with case.erased.applied(case.base):
        looked = replace(attack.inverter(cat), texts=texts).run(
            case.base,
            attack.latents(case.base, cat, None, seed, None),
            restarts=attack.restarts,
            seed=seed,
        )
    sets = looked.artefact()
    past = History(
        record={"choose": {"sets": [sets.record]}},
        tensors={f"choose/0/{name}": value for name, value in sets.tensors.items()},
    )
    report = case.run(
        concept=cat, base=None, oracle=None, found=past, sizes={"attacks": ("concept_inversion",)}
    )
    assert raised(report) == doubts


# Collapse, and numbers.


@pytest.fixture(scope="module")
def blank(case: Case) -> Arm:
    """A model that draws one grey picture, whatever it is asked for."""
    (name,) = [n for n in case.base.parameters("vae") if n.endswith("decoder.conv_out.weight")]
    delta = -case.base.parameters("vae")[name].detach()
    return case.edit(Edit.of(case.base, {name: delta}, recipe=MADE))


def test_a_model_that_draws_one_picture_for_every_prompt(case: Case, blank: Arm) -> None:
    report = case.run(blank, whole=True, sizes=PLAIN)
    assert raised(report) == {"pictures_alike"}
    assert "differ by 0.000" in found(report, "pictures_alike")


@pytest.mark.parametrize(
    ("steps", "lr", "doubts"), [(10, 1e-5, {"guidance_ratio"}), (20, 1e-3, set())]
)
def test_a_task_vector_that_pulls_on_the_unconditional(
    case: Case, steps: int, lr: float, doubts: set[str]
) -> None:
    """Trained without captions, it moves predictions without words first."""
    guided: Any = of_pipeline(case.base.pipeline, "two things", {"steps": 6, "guidance": 2.0})
    guided.known = case.base.known
    small = {**TaskVector.smallest, "variant": "paper", "batch": 8, "steps": steps, "lr": lr}
    done = TaskVector(**small).erase(guided, two.CAT)  # type: ignore[arg-type]
    edit = replace(done.edit, recipe=MADE)
    report = case.run(
        case.edit(edit, guided), base=guided, oracle=None, found=History(record=done.record),
        sizes=PLAIN,
    )  # fmt: skip
    assert raised(report) == doubts


def test_a_model_whose_predictions_overflow(case: Case) -> None:
    name = "unet.conv_out.bias"
    huge = torch.full_like(case.base.parameters("unet")[name], 1e25)
    report = case.run(case.edit(Edit.of(case.base, {name: huge}, recipe=MADE)), sizes=PLAIN)
    assert raised(report) == {"figures_not_finite"}
    assert "the loss by name, edit" in found(report, "figures_not_finite")


class Contrast(two.Two):
    """Looks at pictures in units of their own contrast, of which a grey picture has none."""

    def scores(self, pictures: Tensor) -> Tensor:
        contrast = pictures.float().flatten(2).std(dim=2).mean(dim=1)  # (n, 3, h, w) -> (n,)
        return super().scores(pictures) * (contrast / contrast)[:, None]


@pytest.mark.parametrize("grey", [True, False])
def test_a_judge_that_has_no_number_for_a_grey_picture(case: Case, blank: Arm, grey: bool) -> None:
    report = case.run(blank if grey else case.edit(), judge=Contrast(title="contrast"), sizes=PLAIN)
    assert raised(report) == ({"scores_not_finite"} if grey else set())
    if grey:
        assert "plain pictures of “after”" in found(report, "scores_not_finite")
        assert "before" not in found(report, "scores_not_finite")


def test_a_claim_from_too_few_pictures(case: Case, healthy: Report) -> None:
    report = case.run(sizes={"attacks": ("reseed", "random_search")})
    assert raised(report) == {"power"}
    (enough,) = [check for check in healthy.record.checks if check.name == "power"]
    assert enough.level == "info"
