from __future__ import annotations

from typing import Any

import pytest
import torch
from tests import tiny

from excise.errors import BadSetting, Unsupported, UserError
from excise.models.load import of_pipeline
from excise.models.tokens import lexicon
from excise.primitives.vocabulary import Frame, Vectors, room, vocabulary
from excise.rng import generator
from excise.types import Lexicon


@pytest.fixture(scope="module", params=["sd1", "sdxl", "sd3"])
def model(request: pytest.FixtureRequest) -> Any:
    return of_pipeline(tiny.FAMILIES[request.param](), request.param)


def test_a_text_of_its_words_is_read_back_as_the_very_tokens(model: Any) -> None:
    words = model.lexicon()
    draw = generator("texts")
    k = room(model)
    rows = torch.cat([torch.randint(len(words), (60, k), generator=draw),
                      torch.arange(len(words))[:, None].expand(-1, k)])  # fmt: skip
    for name, tokens in model.encode([words.text(row) for row in rows.tolist()]).tokens.items():
        for row, ids, mask in zip(rows, tokens.ids, tokens.mask, strict=True):
            first = int(mask.sum()) - 1 - k  # T5 has no start token
            assert torch.equal(ids[first : first + k], words.ids[name][row])


def test_every_token_that_is_a_word_is_there_once(model: Any) -> None:
    words = model.lexicon()
    rows = zip(*(ids.tolist() for ids in words.ids.values()), strict=True)
    assert len(set(rows)) == len(words)
    assert len(set(words.words)) == len(words)
    first = model.encoding.encoders["text_encoder"].cutter._tokenizer
    everything = {first.decode([i]).strip() for i in range(len(first))} - {""}
    encoders = model.encoding.encoders.values()
    for text in everything:
        cuts = [e.cutter._tokenizer(text, add_special_tokens=False)["input_ids"] for e in encoders]
        usable = all(
            len(cut) == 1 and cut[0] not in e.cutter._tokenizer.all_special_ids
            for cut, e in zip(cuts, encoders, strict=True)
        )
        assert usable == (text in words.words), text
    assert not any("<|" in word for word in words.words)


def test_tables_hold_the_tokens_vectors(model: Any) -> None:
    vectors = Vectors.of(model)
    for name, ids in vectors.lexicon.ids.items():
        assert torch.equal(vectors.tables[name], vocabulary(model, name)[ids])
    words = torch.tensor([[0, 5], [7, 2]])
    assert torch.equal(vectors.nearest(vectors.at(words)), words)
    text = vectors.lexicon.text([3, 8])
    one = {name: value[None] for name, value in vectors.at(torch.tensor([3, 8])).items()}
    soft = model.encode(
        [Frame.free(2).prompt({name: value[0] for name, value in one.items()})]
    ).hidden
    torch.testing.assert_close(soft, model.encode(text).hidden, atol=1e-5, rtol=1e-4)


def test_the_nearest_word_is_that_of_the_largest_cosine(model: Any) -> None:
    vectors = Vectors.of(model)
    values = {
        name: torch.randn(2, 3, table.shape[1], generator=generator(name))
        for name, table in vectors.tables.items()
    }
    found = vectors.nearest(values)
    for i in range(2):
        for j in range(3):
            likeness = sum(
                torch.cosine_similarity(values[name][i, j][None], table, dim=1)
                for name, table in vectors.tables.items()
            )
            assert int(torch.as_tensor(likeness).argmax()) == int(found[i, j])


def test_a_frame_is_filled_in_order() -> None:
    frame = Frame((None, "a cat", None))
    assert len(frame) == 2
    assert frame.text(["x", "y", "left over"]) == "x a cat y"
    prompt = frame.prompt({"text_encoder": torch.arange(4.0).view(2, 2)})
    assert prompt.text == "<1> a cat <2>"
    assert prompt.soft["<2>"]["text_encoder"].tolist() == [[2, 3]]
    assert Frame.free(2, "a dog").text(["x", "y"]) == "x y a dog"
    assert Frame.free(1).parts == (None,)


def test_a_frame_keeps_the_places_that_are_read() -> None:
    model = of_pipeline(tiny.stable_diffusion(), "tiny")  # reads 14 tokens
    assert room(model) == 14
    assert Frame((None, "a cat", None)).fitted(model) == Frame((None, "a cat", None))
    long = Frame((None, " ".join(["cat"] * 12), None, "dog", None))
    assert long.fitted(model).parts == (None, " ".join(["cat"] * 12), None, "dog")
    with pytest.raises(BadSetting, match="shorten"):
        Frame((" ".join(["cat"] * 20), None)).fitted(model)


def test_a_model_without_common_words_is_refused() -> None:
    class Only:
        def __init__(self, *known: str) -> None:
            self.known = known

        def words(self) -> tuple[str, ...]:
            return self.known

        def tokens_of(self, words: tuple[str, ...]) -> list[int | None]:
            return [self.known.index(word) if word in self.known else None for word in words]

    found = lexicon({"a": Only("cat", "dog"), "b": Only("dog", "tree")})  # type: ignore[dict-item]
    assert found.words == ("dog",)
    assert {name: ids.tolist() for name, ids in found.ids.items()} == {"a": [1], "b": [0]}
    with pytest.raises(Unsupported, match="soft tokens"):
        lexicon({"a": Only("cat"), "b": Only("dog")})  # type: ignore[dict-item]
    with pytest.raises(UserError):
        Lexicon(words=("cat",), ids={"a": torch.tensor([1, 2])})
