"""Sentences as tokens: known words have their own place, unknown ones share some, and no sentence means two tasks."""

import numpy as np
import pytest
import torch

from worldmodel.sims.can import TASKS
from worldmodel.tokens.language import BUCKETS, LENGTH, Language, Paraphrases, sentences, vocabulary, words

PAIR = ("lift_can", "place_can")


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_sentences_and_none_means_two(task: str) -> None:
    mine = sentences(task) + sentences(task, held_out=True)
    others = {s for other in TASKS if other != task for s in sentences(other) + sentences(other, held_out=True)}
    assert len(sentences(task)) >= 6 and len(sentences(task, held_out=True)) >= 2
    assert len(set(mine)) == len(mine) and not others & set(mine)
    assert all(len(words(sentence)) <= LENGTH for sentence in mine)


def test_held_out_sentences_use_known_words() -> None:
    known = set(vocabulary(tuple(TASKS)))
    assert all(set(words(s)) <= known for task in TASKS for s in sentences(task, held_out=True))


def test_words_become_numbers_and_strangers_share_places() -> None:
    language = Language(vocabulary(PAIR), 2, 32)
    numbers = language.encode("Lift the CAN, please!")
    assert numbers.shape == (LENGTH,) and numbers[4:].tolist() == [0] * (LENGTH - 4)
    assert numbers[:3].tolist() == [language.number[word] for word in ("lift", "the", "can")]
    assert 1 + len(language.number) <= numbers[3] < 1 + len(language.number) + BUCKETS
    assert language.encode("please")[0] == numbers[3], "the same in every process"
    tokens = language.tokens(torch.as_tensor(numbers)[None])
    assert tokens.shape == (1, LENGTH, 32) and language.positions(tokens.device).shape == (LENGTH, 3)
    language.fit(PAIR)
    assert torch.equal(language.usual[1], torch.as_tensor(language.encode("place the can in the bin")))


@pytest.mark.parametrize(("sentence", "count"), [("", 0), ("?!", 0), ("can " * 17, 17)])
def test_sentences_without_words_or_with_too_many_are_refused(sentence: str, count: int) -> None:
    with pytest.raises(ValueError, match=f"has {count} words, expected 1 to {LENGTH}"):
        Language(("can",), 1, 8).encode(sentence)


def test_an_unknown_task_gets_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="no sentence means task 'place_cam'; did you mean 'place_can'"):
        sentences("place_cam")
    assert sentences("fold the towel") == ("fold the towel",), "recordings made elsewhere name tasks so"


def test_paraphrases_are_drawn_of_the_right_task_and_again_from_the_same_seed() -> None:
    language = Language(vocabulary(PAIR), 2, 32)
    paraphrases, task = Paraphrases(language, PAIR), np.arange(400) % 2
    drawn = paraphrases.draw(task, np.random.default_rng(0))
    assert np.array_equal(drawn, paraphrases.draw(task, np.random.default_rng(0)))
    shared = drawn > len(language.number)
    assert 0.05 < shared.sum() / (drawn > 0).sum() < 0.15
    whole = ~shared.any(axis=1)
    for index, name in enumerate(PAIR):
        found = {tuple(row) for row in drawn[(task == index) & whole]}
        assert found <= {tuple(language.encode(s)) for s in sentences(name)} and len(found) >= 7
