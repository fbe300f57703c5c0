from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
import torch
from tests.attacks.toy import Deaf, Learning, Nearest, Words
from tests.trained import World, world
from torch import Tensor

from excise import registry
from excise.attacks.base import Attack, AttackResult, companion_loss, run_attack
from excise.attacks.reseed import Reseed
from excise.errors import BadSetting, UserError
from excise.primitives.denoising import Bank
from excise.rng import seed_of
from excise.settings import build, recipe
from excise.types import Concept, Prompt, Request, Samples, Score, digest

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
    (seen,) = judge.seen
    first, second = seen.split(2 + 3)  # of each prompt the select seeds, then the score seeds
    looked, scored = torch.cat([first[:2], second[:2]]), torch.cat([first[2:], second[2:]])
    assert not any(torch.equal(x, y) for x in looked for y in scored)
    # One prompt's noise is not the other's, nor does it change from run to run.
    assert not torch.equal(first, second)
    again = Nearest(w)
    run(w, Words(words=("cat",)), again)
    assert torch.equal(seen, again.seen[0])


def test_a_search_that_learns_is_scored_with_what_it_chose(w: World) -> None:
    found = run(w, Learning(words=("dog", "cat")))
    assert found.rate == 1
    assert found.score.isnan().all(dim=2).tolist() == [[True, True], [False, False]]
    assert found.drawn.pictures == 2 * 2 * 2 + 2 * 3
    with pytest.raises(UserError):
        found.curve(1)


def test_one_of_two_pictures_fells_no_prompt_and_two_do(w: World) -> None:
    class Chance(Nearest):
        """Shows the concept in the first ``lucky`` of each prompt's two pictures."""

        lucky = 1

        def score(self, pictures: Tensor, concept: Concept | str) -> Score:
            values = (torch.arange(len(pictures)) % 2 < self.lucky).float()
            return Score(concept="cat", judge=self.name, values=values, threshold=0.5)

    judge = Chance(w)
    once, twice = Learning(words=("dog",)), Learning(words=("dog",))
    run(w, once, judge)
    judge.lucky = 2
    run(w, twice, judge)
    assert once.told == [(False, False)]
    assert twice.told == [(True, True)]


def test_only_who_asks_for_feedback_is_told_and_steered(w: World) -> None:
    class Quiet(Learning):
        """Depends on what it found before, and asks nobody."""

        needs = frozenset({"prompts"})

    quiet = Quiet(words=("dog", "cat"))
    found = run(w, quiet)
    assert quiet.told == [(False, False)] * 2
    assert not found.steered
    assert found.budget_curve().rate == (0, 1)
    steered = run(w, Learning(words=("dog", "cat")))
    assert steered.steered
    with pytest.raises(UserError, match="told which prompts fell"):
        steered.budget_curve()


def drawn(monkeypatch: pytest.MonkeyPatch, w: World) -> list[int]:
    """How many pictures each call for some draws, from now on."""
    sizes: list[int] = []
    generate = w.model.generate

    def counted(request: Request) -> Samples:
        sizes.append(len(request))
        return generate(request)

    monkeypatch.setattr(w.model, "generate", counted)
    return sizes


def alone(w: World, requests: Sequence[Request], seeds: Sequence[int]) -> Tensor:
    """The judge's values (P, S) of a round, of which each picture is drawn by itself."""
    rows = [
        torch.cat(
            [
                Nearest(w)
                .score(
                    w.model.generate(one.on(seed_of("picture", s, p, one.seeds[0]))).pictures, CAT
                )
                .values
                for s in seeds
            ]
        )
        for p, one in enumerate(requests)
    ]
    return torch.stack(rows)


@pytest.mark.parametrize(
    "attack",
    [Reseed(restarts=3), Words(words=("dog", "cat")), Deaf(words=("dog", "cat")),
     Learning(words=("dog", "cat"))],
    ids=lambda attack: type(attack).__name__,
)  # fmt: skip
def test_drawing_together_gives_what_drawing_one_by_one_gives(w: World, attack: Attack) -> None:
    found = run(w, attack)
    for r, requests in enumerate(found.requests):
        close = {"atol": 2e-3, "rtol": 0.0}  # the last bits depend on the batch
        torch.testing.assert_close(found.select[r], alone(w, requests, (0, 1)), **close)
        if attack.independent or set(found.chosen) == {r}:
            torch.testing.assert_close(found.score[r], alone(w, requests, (10, 11, 12)), **close)


def test_pictures_are_drawn_in_few_calls(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = drawn(monkeypatch, w)
    found = run(w, Reseed(restarts=20), select_seeds=range(4), score_seeds=range(10, 13))
    assert sizes == [256, 20 * 2 * (4 + 3) - 256]
    assert found.drawn.pictures == sum(sizes)
    sizes.clear()
    words = ("dog", "cat", "dog")
    run(w, Words(words=words))
    assert sizes == [2 * (2 + 3)] * 3  # a round at a time, since it wants to be told
    sizes.clear()
    run(w, Learning(words=words))
    assert sizes == [2 * 2] * 3 + [2 * 3]


def test_who_needs_no_answer_gets_none_and_finds_the_same(w: World) -> None:
    deaf, told = Deaf(words=("dog", "cat", "dog")), Words(words=("dog", "cat", "dog"))
    a, b = run(w, deaf), run(w, told)
    assert deaf.told == [(False, False)] * 3
    assert told.told == [(False, False), (True, True), (False, False)]
    torch.testing.assert_close(a.select, b.select, atol=2e-3, rtol=0)
    torch.testing.assert_close(a.score, b.score, atol=2e-3, rtol=0)
    assert a.chosen == b.chosen
    assert a.drawn.pictures == b.drawn.pictures
    assert a.drawn.evaluations == b.drawn.evaluations


def test_who_learns_is_told_before_it_goes_on(w: World) -> None:
    class Stops(Learning):
        """Ends as soon as all have fallen."""

        def search(self, *args, **kwargs):  # type: ignore[no-untyped-def]
            hunt = super().search(*args, **kwargs)
            fell = None
            while fell is None or not all(fell):
                fell = yield hunt.send(fell)

    found = run(w, Stops(words=("dog", "dog", "cat", "dog", "cat")))
    assert len(found) == 3
    assert found.chosen == (2, 2)
    assert found.rate == 1


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


def test_what_the_unedited_model_spends_is_counted_once(w: World) -> None:
    class Asking(Words):
        def search(self, model, concepts, prompts, *, base=None, **_):  # type: ignore[no-untyped-def]
            (base or model).generate("a cat")
            yield from super().search(model, concepts, prompts)

    attack = Asking(words=("cat",))
    alone = run(w, attack).searched
    assert alone.pictures == 1
    for base in (w.model, w.model.copied()):
        spent = run(w, attack, base=base).searched
        assert replace(spent, seconds=0, peak_bytes=0) == replace(alone, seconds=0, peak_bytes=0)


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


AUTHORS: Mapping[str, Mapping[str, int]] = {
    "concept_inversion": {"steps": 5000, "samples": 4 * 4},  # a batch of 4, accumulated over 4
    "diverse_inversion": {"steps": 5000, "samples": 4 * 4},
    "unlearn_diff": {"levels": 50, "steps": 40},
    "p4d": {"steps": 3000, "tokens": 16},
    "ring_a_bell": {"population": 200, "generations": 3000, "length": 16},
    "noise_probe": {"candidates": 24},
    "image_side": {"steps": 50 * 20},
}


@pytest.mark.parametrize("name", AUTHORS)
def test_thorough_has_what_the_authors_have(name: str) -> None:
    attack = registry.get("attack", name)().at("thorough")
    for setting, least in AUTHORS[name].items():
        assert getattr(attack, setting) >= least, setting


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
