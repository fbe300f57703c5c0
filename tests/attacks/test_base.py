from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from tests.attacks.toy import Learning, Nearest, Words
from tests.trained import World, world

from excise import registry
from excise.attacks.base import Attack, AttackResult, companion_loss, run_attack
from excise.attacks.reseed import Reseed
from excise.errors import BadSetting, UserError
from excise.primitives.denoising import Bank
from excise.settings import build, recipe
from excise.types import Concept, Prompt, Request, digest

CAT = Concept("cat")


@pytest.fixture(scope="module")
def w() -> World:
    return world()


def run(w: World, attack: Attack, judge: Nearest | None = None, **changes: object) -> AttackResult:
    options: dict[str, object] = {"select_seeds": (0, 1), "score_seeds": (10, 11, 12)}
    return run_attack(  # type: ignore[arg-type]
        attack,
        w.model,
        CAT,
        ["a _", "a picture of a _"],
        judge or Nearest(w),
        **(options | changes),
    )


def test_the_framework_finds_the_word_that_works(w: World) -> None:
    attack = Words(words=("dog", "cat", "dog"))
    found = run(w, attack)
    assert found.chosen == (1, 1)
    assert found.rate == 1
    assert found.best_of(1) == pytest.approx(1 / 3)
    assert found.best_of(3) == pytest.approx(1)
    assert found.select.shape == (3, 2, 2)
    assert found.score.shape == (3, 2, 3)
    assert attack.told == [(False, False), (True, True), (False, False)]
    assert found.drawn.pictures == 3 * 2 * (2 + 3)
    assert found.searched.pictures == 0


def test_the_pictures_that_count_were_never_looked_at(w: World) -> None:
    judge = Nearest(w)
    run(w, Words(words=("cat",)), judge)
    looked, scored = judge.seen[0:2], judge.seen[2:4]
    for a in looked:
        for b in scored:
            assert not any(torch.equal(x, y) for x in a for y in b)
    # One prompt's noise is not the other's, nor does it change from run to run.
    assert not torch.equal(looked[0], looked[1])
    again = Nearest(w)
    run(w, Words(words=("cat",)), again)
    assert all(torch.equal(x, y) for x, y in zip(judge.seen, again.seen, strict=True))


def test_a_search_that_learns_is_scored_with_what_it_chose(w: World) -> None:
    found = run(w, Learning(words=("dog", "cat")))
    assert found.rate == 1
    assert found.score.isnan().all(dim=2).tolist() == [[True, True], [False, False]]
    assert found.drawn.pictures == 2 * 2 * 2 + 2 * 3
    with pytest.raises(UserError):
        found.curve(1)


def test_the_null_draws_new_noise_and_reaches_what_words_reach(w: World) -> None:
    judge = Nearest(w)
    found = run_attack(
        Reseed(restarts=3),
        w.model,
        CAT,
        ["a cat", "a dog"],
        judge,
        select_seeds=(0, 1),
        score_seeds=(5, 6),
    )
    assert found.select.shape == (3, 2, 2)
    assert len({digest(picture) for part in judge.seen for picture in part}) == 3 * 2 * (2 + 2)
    assert found.hits.mean(axis=1).tolist() == [1, 0]


def test_overlapping_or_missing_seeds_are_refused(w: World) -> None:
    changes: list[Mapping[str, object]] = [
        {"score_seeds": (1, 2)}, {"score_seeds": ()}, {"select_seeds": ()},
    ]  # fmt: skip
    for change in changes:
        with pytest.raises(UserError, match="seeds"):
            run(w, Words(words=("cat",)), **change)
    with pytest.raises(UserError, match="candidate"):
        run(w, Words(words=()))


def test_a_candidate_is_one_picture_a_prompt(w: World) -> None:
    class Greedy(Words):
        def search(self, *args, **kwargs):  # type: ignore[no-untyped-def]
            yield (Request(prompts=Prompt.of("a cat"), seeds=(0, 1)),) * 2

    with pytest.raises(UserError, match="one request"):
        run(w, Greedy(words=()))


def test_budgets_and_recipes(w: World) -> None:
    for name in registry.names("attack"):
        cls = registry.get("attack", name)
        attack = cls.fitted(w.model)
        assert isinstance(attack, Attack)
        assert attack.paper
        assert attack.needs
        sizes = [getattr(attack.at(b), "restarts", 1) for b in ("quick", "standard", "thorough")]
        assert sizes == sorted(sizes)
        assert build(cls, recipe(attack)) == attack
    with pytest.raises(BadSetting, match="budget"):
        Reseed().at("cheap")  # type: ignore[arg-type]


def test_the_companion_needs_no_judge(w: World) -> None:
    latents = w.latents["cat"]
    bank = Bank.of(latents, 8)
    prompts = [Request(prompts=(Prompt(text),)) for text in ("a cat", "a dog")]
    cat = w.model.encode(["a cat"]).detach()
    found = companion_loss(w.model, [*prompts, Request(condition=cat)], latents, bank)
    assert found.shape == (3, 8)
    assert found[0].mean() < found[1].mean()
    assert torch.allclose(found[0], found[2], rtol=1e-4)


def test_the_same_run_finds_the_same(w: World) -> None:
    a, b = (run(w, Words(words=("cat", "dog"))) for _ in range(2))
    assert torch.equal(a.select, b.select)
    assert torch.equal(a.score, b.score)
