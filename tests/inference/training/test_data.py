import random

import torch

from inference.training import captions, data, tokenizer


def test_vocabulary_names_at_least_150_different_things() -> None:
    items = data.load_vocabulary()
    assert len({item.name for item in items}) == len(items) >= 150
    assert len({item.character for item in items}) == len(items)
    assert all(item.synonyms for item in items)


def test_captions_name_the_thing_and_its_background() -> None:
    item = data.Item("x", "red apple", ("ripe apple",))
    dice = random.Random(0)
    made = [captions.compose(item, "blue", dice) for _ in range(100)]
    assert all("red apple" in text or "ripe apple" in text for text in made)
    assert all("on a blue background" in text for text in made)
    assert len(set(made)) > 30


def test_articles_follow_the_noun() -> None:
    nouns = ["egg", "bus", "glasses", "red apple", "cactus", "jeans"]
    expected = ["an egg", "a bus", "glasses", "a red apple", "a cactus", "jeans"]
    assert [captions.with_article(noun) for noun in nouns] == expected


def test_tokenizer_keeps_any_text_and_knows_the_names_whole() -> None:
    items = data.load_vocabulary()
    words = tokenizer.build(captions.corpus(items))
    for text in ("a red apple", "an astronaut 日本 é"):
        assert words.decode(words(text).input_ids, skip_special_tokens=True) == text
    assert len(words("a red apple").input_ids) == 5
    long = words("apple " * 100, truncation=True, max_length=tokenizer.MAX_TOKENS)
    assert len(long.input_ids) == tokenizer.MAX_TOKENS


def test_variation_moves_a_glyph_and_leaves_the_background_clean() -> None:
    glyph = torch.zeros(1, 4, 136, 136)
    glyph[:, :, 40:96, 40:96] = 1.0
    still = data.vary(glyph, torch.Generator().manual_seed(0), strength=0.0)
    varied = data.vary(glyph.expand(8, -1, -1, -1), torch.Generator().manual_seed(0))
    assert still.shape == (1, 4, 64, 64)
    assert all(not torch.equal(still[0], one) for one in varied)
    picture = data.composite(varied, torch.tensor([[1.0, 0.0, 0.0]]).expand(8, -1))
    corner = torch.tensor([1.0, -1.0, -1.0]).expand(8, -1)
    assert torch.allclose(picture[:, :, 0, 0], corner)
