from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from tests import tiny

from excise.erasers.sld import CONFIGURATIONS, SLD
from excise.errors import BadSetting, Unsupported
from excise.hooks import sld as hooks
from excise.models.load import of_pipeline
from excise.models.quiet import quietly
from excise.types import Concept

CAT, DOG = Concept("cat", synonyms=("x",)), Concept("dog")


@pytest.fixture(scope="module")
def model() -> Any:
    return of_pipeline(tiny.stable_diffusion(), "tiny")


def test_the_configurations_are_those_of_diffusers_but_for_the_scale_of_weak() -> None:
    with quietly():
        from diffusers import StableDiffusionPipelineSafe

        # Its folder has moved from version to version.
        folder = import_module(StableDiffusionPipelineSafe.__module__.rpartition(".")[0])
    names = {"warmup": "sld_warmup_steps", "scale": "sld_guidance_scale",
             "threshold": "sld_threshold", "momentum": "sld_momentum_scale",
             "decay": "sld_mom_beta"}  # fmt: skip
    for configuration, ours in CONFIGURATIONS.items():
        theirs = getattr(folder.SafetyConfig, configuration.upper())
        theirs = theirs if isinstance(theirs, dict) else theirs.value
        different = {name for name, other in names.items() if ours[name] != theirs[other]}
        assert different == ({"scale"} if configuration == "weak" else set())
    assert CONFIGURATIONS["weak"]["scale"] == 200


def test_every_name_of_every_concept_is_avoided(model: Any) -> None:
    found = SLD(configuration="strong", warmup=2).run(model, (CAT, DOG))
    (hook,) = found.hooks
    assert isinstance(hook, hooks.SLD)
    assert hook.text == "cat, x, dog"
    assert (hook.warmup, hook.scale) == (2, 2000.0)
    assert found.deltas == {}
    assert found.kind == "guard"
    assert SLD(text="anything").run(model, CAT).hooks[0].text == "anything"  # type: ignore[attr-defined]


def test_what_cannot_be_is_refused(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadSetting, match="configuration"):
        SLD(configuration="harder")  # type: ignore[arg-type]
    with pytest.raises(BadSetting, match="warmup"):
        SLD(warmup=-1)
    monkeypatch.setattr(type(model), "null", lambda self, n=1: None)
    with pytest.raises(Unsupported, match="guided away from"):
        SLD().run(model, CAT)
