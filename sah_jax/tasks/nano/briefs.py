"""Briefs: a topic, the constraints on a text about it, and such a text.

The text is written first and the constraints are then read off or worked into it, so that
every brief comes with a response that satisfies it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import NamedTuple

from sah_jax.tasks.nano.constraints import Constraint, words_of
from sah_jax.tasks.nano.problems import PERSONS
from sah_jax.tasks.nano.sentences import BEINGS, sample_sentence
from sah_jax.tasks.nano.splits import split_of_text

_STARTS = (
    "well so yes look today now sometimes often listen here indeed perhaps again finally "
    "usually luckily"
).split()
_ENDS = (
    "Good night, {name}.", "Goodbye, {name}.", "Thank you, {name}.", "That is all.", "The end.",
    "So it is.", "What a day!", "Ask {name}.", "I like it.", "Is that so, {name}?",
)  # fmt: skip
_AVOIDED = (
    "the my his her our your this is are does not in on under behind and small big very red green "
    "black white old new good garden house"
).split()
_PLAIN = ("the", "a", "an", "is", "are", "in", "of", "some", "to", "not", "does", "do")

# One of each group at most.
_GROUPS = ("case", "length", "start", "end", "quote", "use", "avoid")
_GROUP_WEIGHTS = (4, 4, 3, 3, 1.5, 2.5, 2.5)

# What some text of any kind meets: these never make a brief by themselves.
_BY_CHANCE = frozenset(("least_words", "most_words", "use", "avoid"))

NUMBERS = ("zero", "one", "two", "three", "four")


class Brief(NamedTuple):
    """What to write.

    Attributes:
        topic: What the text is about.
        constraints: What a text must satisfy, in the order in which they are asked.
        response: A text that satisfies them.
    """

    topic: str
    constraints: tuple[Constraint, ...]
    response: str


def _sample_groups(rng: random.Random) -> list[str]:
    num = rng.choice((1, 1, 2, 2, 2, 3))
    groups: list[str] = []
    while len(groups) < num:
        (group,) = rng.choices(_GROUPS, _GROUP_WEIGHTS)
        if group not in groups:
            groups.append(group)
    return groups


def _with_start(word: str, sentence: str) -> str:
    rest = sentence if sentence.startswith("I ") else sentence[0].lower() + sentence[1:]
    return f"{word.capitalize()}, {rest}"


def _length(rng: random.Random, sentences: list[str], text: str) -> Constraint:
    num_words = len(words_of(text))
    roll = rng.random()
    if roll < 0.5:
        return Constraint("sentences", str(len(sentences)))
    if roll < 0.7:
        return Constraint("bullets", str(len(sentences)))
    if roll < 0.85:
        return Constraint("most_words", str(num_words + rng.randint(0, 2)))
    return Constraint("least_words", str(max(3, num_words - rng.randint(0, 2))))


def sample_brief(rng: random.Random) -> Brief:
    """Draws a brief with one to three constraints, at least one of them hard to meet by chance.

    Args:
        rng: Source of every choice; the same state gives the same brief.

    Returns:
        The brief.
    """
    groups = _sample_groups(rng)
    noun = rng.choice(BEINGS)
    num = rng.choice((1, 1, 2, 2, 3) if "length" not in groups else (1, 2, 2, 3, 3, 4))
    with_end = "end" in groups
    num_free = max(num - with_end, 1)
    sentences = [sample_sentence(rng, noun).english for _ in range(num_free)]
    free_words = [word for sentence in sentences for word in words_of(sentence)]
    found: dict[str, Constraint] = {}
    if "use" in groups:
        choices = [word for word in free_words if word not in (*_PLAIN, noun.one, noun.many)]
        found["use"] = Constraint("use", rng.choice(choices or free_words))
    if "avoid" in groups:
        choices = [word for word in _AVOIDED if word not in free_words]
        found["avoid"] = Constraint("avoid", rng.choice(choices))
    if "start" in groups:
        word = rng.choice(_STARTS)
        sentences[0] = _with_start(word, sentences[0])
        found["start"] = Constraint("start", word)
    if with_end:
        end = rng.choice(_ENDS).format(name=rng.choice(PERSONS).name)
        sentences.append(end)
        found["end"] = Constraint("end", end)
    text = " ".join(sentences)
    if "length" in groups:
        found["length"] = _length(rng, sentences, text)
        if found["length"].kind == "bullets":
            text = "\n".join(f"* {sentence}" for sentence in sentences)
            found.pop("quote", None)
    if "case" in groups:
        found["case"] = Constraint(rng.choice(("upper", "lower")))
        text = text.upper() if found["case"].kind == "upper" else text.lower()
    is_list = "length" in found and found["length"].kind == "bullets"
    if "quote" in groups and not is_list:
        found["quote"] = Constraint("quote")
        text = f'"{text}"'
    constraints = tuple(found[group] for group in groups if group in found)
    kinds = {constraint.kind for constraint in constraints}
    # An ending may hold the forbidden word.
    if kinds <= _BY_CHANCE or not all(constraint.holds(text) for constraint in constraints):
        return sample_brief(rng)
    return Brief(noun.one, constraints, text)


def split_of(brief: Brief) -> str:
    """Assigns a brief to a split by a hash of its topic and the set of its constraints.

    Returns:
        "test" or "selection" (an eighth each) or "train".
    """
    return split_of_text(f"{brief.topic} {sorted(brief.constraints)}")


def train_brief(rng: random.Random) -> Brief:
    """Draws a brief of the train split."""
    while split_of(brief := sample_brief(rng)) != "train":
        pass
    return brief


Wording = Mapping[str, tuple[str, ...]]
"""For each kind of constraint, and for "topic", templates with {value} (and {number}, {s})."""


def phrased(rng: random.Random, wording: Wording, constraint: Constraint) -> str:
    """Puts one constraint into words."""
    value = constraint.value
    number = NUMBERS[int(value)] if value.isdigit() and int(value) < len(NUMBERS) else value
    template = rng.choice(wording[constraint.kind])
    return template.format(value=value, number=number, s="" if value == "1" else "s")


def instruction(
    rng: random.Random, wording: Wording, brief: Brief, separator: str = " ",
    finish: Callable[[str], str] = str,
) -> str:
    """Puts a brief into words: its topic and then its constraints.

    Args:
        rng: Picks one of the templates of each.
        wording: The templates.
        brief: The brief.
        separator: Text between two demands.
        finish: Applied to each demand.

    Returns:
        The instruction.
    """
    topic = rng.choice(wording["topic"]).format(value=brief.topic, a=_article(brief.topic))
    demands = [topic, *(phrased(rng, wording, constraint) for constraint in brief.constraints)]
    return separator.join(finish(demand) for demand in demands)


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"
