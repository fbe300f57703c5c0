"""What ships: a genuine pipeline, small enough, that meets its figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from excise.models.load import ASSETS, embedded
from excise.store import read_json, sha256_file

ROOT = Path(__file__).resolve().parents[2]
EMOJI = ASSETS / "emoji"
MIB = 2**20

PLAIN = """
import sys, numpy, torch
from diffusers import StableDiffusionPipeline
pipe = StableDiffusionPipeline.from_pretrained(sys.argv[1])
pipe.set_progress_bar_config(disable=True)
picture = pipe("a cat", generator=torch.Generator().manual_seed(0)).images[0]
assert not any(name.split(".")[0] == "excise" for name in sys.modules)
picture.save(sys.argv[2])
"""


def test_everything_that_is_tracked_is_small_enough() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False, text=True
    )
    if listed.returncode:
        pytest.skip("not in a repository")
    sizes = {name: (ROOT / name).stat().st_size for name in listed.stdout.split("\0") if name}
    assert sum(sizes.values()) < 56e6
    assert max(sizes.values()) < 15 * MIB


@pytest.mark.slow
def test_a_plain_process_draws_a_cat(tmp_path: Path) -> None:
    from excise.api.concepts import read_pictures
    from excise.judges.classifier import Classifier

    out = tmp_path / "a" / "cat.png"
    out.parent.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, str(EMOJI), str(out)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    pictures = read_pictures(out.parent)
    assert pictures.shape == (1, 3, 64, 64)
    assert Classifier(folder=str(ASSETS / "judge")).score(pictures, "cat").shown.all()


def test_files_have_the_names_that_older_programs_read() -> None:
    from safetensors import safe_open

    for name in ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model"):
        assert (EMOJI / f"{name}.safetensors").is_file()
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        assert (EMOJI / "tokenizer" / name).is_file()
    with safe_open(EMOJI / "text_encoder" / "model.safetensors", "pt") as file:
        assert all(key.startswith("text_model.") for key in file.keys())  # noqa: SIM118
    config = json.loads((EMOJI / "text_encoder" / "config.json").read_text())
    assert config["dtype"] == "float32"


def test_no_config_says_where_it_was_made() -> None:
    for file in ASSETS.rglob("config.json"):
        assert "_name_or_path" not in json.loads(file.read_text()), file


@pytest.mark.parametrize("name", embedded())
def test_a_model_meets_its_figures_with_the_weights_that_ship(name: str) -> None:
    quality = read_json(ASSETS / name / "quality.json")
    assert isinstance(quality, dict)
    found = {
        file.parent.name: sha256_file(file) for file in (ASSETS / name).glob("*/*.safetensors")
    }
    assert quality["weights"] == found
    missed = {key: row for key, row in quality["demands"].items() if not row["met"]}
    assert not missed


def test_an_oracle_is_a_denoiser_and_nothing_else() -> None:
    for name in embedded():
        if "/" in name:
            files = {file.name for file in (ASSETS / name).rglob("*.safetensors")}
            assert files == {"diffusion_pytorch_model.safetensors"}
            notes = read_json(ASSETS / name / "excise.json")
            assert isinstance(notes, dict)
            assert notes["without"]
