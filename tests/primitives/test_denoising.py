from __future__ import annotations

import math
from typing import cast

import pytest
import torch
from tests.trained import world

from excise.errors import UserError
from excise.models.process import Discrete, Flow, Prediction, Process
from excise.primitives.bands import banded
from excise.primitives.denoising import Bank, concept_loss, level_weights, losses
from excise.types import TextToImage

U = torch.tensor([0.02, 0.3, 0.6, 0.95])


def discrete(prediction: Prediction) -> Process:
    return Discrete(prediction, torch.linspace(0.9999, 0.005, 1000, dtype=torch.float64))


def test_a_bank_covers_levels_and_pictures_evenly() -> None:
    bank = Bank.of(torch.zeros(8, 4, 2, 2), 32, between=(0.5, 1.0))
    assert torch.allclose(bank.u.sort().values.diff(), torch.tensor(0.5 / 32), atol=1e-6)
    assert 0.5 < bank.u.min() < bank.u.max() < 1
    assert bank.picture.bincount().tolist() == [4] * 8
    assert bank.eps.shape == (32, 4, 2, 2)
    assert abs(float(torch.corrcoef(torch.stack([bank.picture.float(), bank.u]))[0, 1])) < 0.5


def test_a_bank_is_its_seed_s() -> None:
    latents = torch.zeros(3, 4, 2, 2)
    assert Bank.of(latents, 8).digest == Bank.of(latents, 8).digest
    assert Bank.of(latents, 8).digest != Bank.of(latents, 8, seed=1).digest
    with pytest.raises(UserError, match="bank"):
        Bank.of(latents, 0)


@pytest.mark.parametrize(
    ("process", "expected"),
    [
        (discrete("epsilon"), lambda snr, u: min(snr, 5) / snr),
        (discrete("sample"), lambda snr, u: min(snr, 5)),
        (discrete("v_prediction"), lambda snr, u: min(snr, 5) / (snr + 1)),
        (Flow("flow", 1000.0), lambda snr, u: min(snr, 5) * u * u),
    ],
)  # fmt: skip
def test_min_snr_weighs_the_error_in_x0_whatever_is_predicted(process, expected) -> None:  # type: ignore[no-untyped-def]
    model = cast(TextToImage, process)  # a process is the part of the seam that weights need
    found = level_weights(model, U, "min_snr")
    a, b = process.coefficients(U)
    for weight, alpha, sigma, u in zip(
        found.tolist(), a.tolist(), b.tolist(), U.tolist(), strict=True
    ):
        assert weight == pytest.approx(expected((alpha / sigma) ** 2, u), rel=1e-4)
    assert level_weights(model, U, "uniform").tolist() == [1.0] * 4


def test_the_loss_on_a_bank_is_that_of_each_entry() -> None:
    w = world()
    latents = w.latents["cat"]
    bank = Bank.of(latents, 6)
    cond = w.model.encode(["a cat", "a dog"]).detach()
    found = concept_loss(w.model, latents, cond, bank, batch=5)  # a batch that splits rows
    assert found.shape == (2, 6)
    for row in range(2):
        alone = losses(w.model, latents[bank.picture], bank.eps, bank.u, cond[[row] * 6])
        assert torch.allclose(found[row], alone.detach(), rtol=1e-4)
    assert found[0].mean() < 0.5 * found[1].mean()  # a cat is better explained by its word


def test_the_loss_reads_the_band_of_each_level() -> None:
    w = world()
    bank = Bank.of(w.latents["cat"], 8)
    cat, dog = w.model.encode(["a cat"]).detach(), w.model.encode(["a dog"]).detach()
    both = banded(cat, {"hidden": torch.stack([cat.hidden, dog.hidden], dim=1)})
    found = concept_loss(w.model, w.latents["cat"], both, bank)[0]
    as_cat = concept_loss(w.model, w.latents["cat"], cat, bank)[0]
    as_dog = concept_loss(w.model, w.latents["cat"], dog, bank)[0]
    assert torch.allclose(found, torch.where(bank.u < 0.5, as_cat, as_dog), rtol=1e-4)
    assert not math.isclose(float(as_cat.sum()), float(as_dog.sum()), rel_tol=0.1)
