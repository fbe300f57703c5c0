from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from excise.errors import BadFile, ResourceError
from excise.store import hash_tensors, load_tensors, read_meta, save_tensors, write_bytes

SOME = {
    "b": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "a": torch.tensor([1.5, -0.0], dtype=torch.bfloat16),
    "scalar": torch.tensor(7),
    "none": torch.zeros(0, 4),
}


def test_tensors_and_meta_come_back(tmp_path: Path) -> None:
    save_tensors(tmp_path / "x.safetensors", SOME, {"steps": 3, "words": ["ü"]})
    tensors, meta = load_tensors(tmp_path / "x.safetensors")
    assert tensors.keys() == SOME.keys()
    assert hash_tensors(tensors) == hash_tensors(SOME)
    assert meta == read_meta(tmp_path / "x.safetensors") == {"steps": 3, "words": ["ü"]}
    assert load_file(tmp_path / "x.safetensors").keys() == SOME.keys()  # for other programs too


def test_the_same_content_has_the_same_bytes(tmp_path: Path) -> None:
    save_tensors(tmp_path / "one", SOME, {"b": 1, "a": 2})
    save_tensors(tmp_path / "two", dict(reversed(SOME.items())), {"a": 2, "b": 1})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_views_gradients_and_shared_memory_can_be_saved(tmp_path: Path) -> None:
    base = torch.randn(4, 4, requires_grad=True)
    shared = {"base": base, "row": base[1], "turned": base.T, "again": base}
    save_tensors(tmp_path / "x", shared)
    tensors, meta = load_tensors(tmp_path / "x")
    assert meta is None
    assert all(torch.equal(tensors[name], shared[name]) for name in shared)
    assert not tensors["base"].requires_grad


def test_files_of_other_programs_have_no_meta(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "x", metadata={"format": "pt"})
    assert load_tensors(tmp_path / "x")[1] is None


def test_hashes_tell_apart_name_type_shape_and_value() -> None:
    one = torch.zeros(2, 3)
    others = [
        {"b": one},
        {"a": one.int()},  # the same bytes
        {"a": one.reshape(3, 2)},
        {"a": one + 1},
        {"a": -one},
        {},
        {"a": one, "b": one},
    ]
    assert len({hash_tensors(o) for o in [{"a": one}, *others]}) == len(others) + 1
    assert hash_tensors({"a": one}) == hash_tensors({"a": torch.zeros(3, 2).T})


def trap(path: Path) -> object:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (os.mkdir, (str(path),))

    return Trap()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    write_bytes(tmp_path / "x.bin", pickle.dumps(trap(tmp_path / "run"), protocol=protocol))
    with pytest.raises(BadFile):
        load_tensors(tmp_path / "x.bin")
    assert os.listdir(tmp_path) == ["x.bin"]


def test_a_torch_file_is_refused_with_a_conversion_that_works(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.ones(4, 3).T}}, tmp_path / "x.ckpt")
    with pytest.raises(BadFile, match="never unpickles") as caught:
        load_tensors(tmp_path / "x.ckpt")
    code = str(caught.value).split('python -c "')[1].split('"')[0]
    exec(code, {})
    assert torch.equal(load_tensors(tmp_path / "x.safetensors")[0]["a"], torch.ones(3, 4))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"  <!DOCTYPE html>", "web page"),
        (b"GGUF\x03", "GGUF"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 99, "damaged, cut short or of another format"),
        (b"\x02" + b"\0" * 7 + b"{}x", "damaged"),
        (b"{", "damaged"),
    ],
)
def test_other_formats_are_named(tmp_path: Path, data: bytes, said: str) -> None:
    write_bytes(tmp_path / "x", data)
    with pytest.raises(BadFile, match=said):
        load_tensors(tmp_path / "x")


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    save_tensors(tmp_path / "x", SOME, {"a": 1})
    whole = (tmp_path / "x").read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "y").write_bytes(whole[:length])
        with pytest.raises(BadFile):
            load_tensors(tmp_path / "y")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="found none"):
        load_tensors(tmp_path / "none")
    with pytest.raises(BadFile, match="found a folder"):
        load_tensors(tmp_path)


def test_a_full_disk_is_explained(
    tmp_path: Path, tiny_disk: Callable[[], AbstractContextManager[int]]
) -> None:
    with tiny_disk(), pytest.raises(ResourceError, match="no room"):
        save_tensors(tmp_path / "x", {"a": torch.zeros(9999)})
    assert os.listdir(tmp_path) == []


def test_permissions_are_those_of_an_ordinary_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    save_tensors(tmp_path / "x", SOME)
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_header_whose_length_looks_like_a_pickle_is_read(tmp_path: Path) -> None:
    # Its length comes first in the file: 0x280 begins with the bytes of a pickle.
    seen = set()
    for pad in range(700):
        path = tmp_path / "a.safetensors"
        save_tensors(path, {"x": torch.zeros(1)}, {"pad": "x" * pad})
        seen.add(path.read_bytes()[:2])
        assert load_tensors(path)[1] == {"pad": "x" * pad}
    assert b"\x80\x02" in seen
