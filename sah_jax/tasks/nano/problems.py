"""Seeded arithmetic word problems, shared by the nano task and its pre-training corpus.

A problem is told by a scene: a function that draws its own people, things and numbers
and needs a given number of steps. All numbers stay between 0 and 99, so that a model of
a million parameters can learn the arithmetic.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from sah_jax.tasks.nano.splits import split_of_text

LARGEST = 99
LARGEST_OPERAND = 30


@dataclass(frozen=True)
class Step:
    """One calculation of a solution, with the words around its equation.

    Attributes:
        before: Words before the equation, such as "Tom now has".
        left: Left operand.
        op: One of "+", "-" and "*".
        right: Right operand.
        result: Value of the calculation.
        after: Words after the equation, such as "apples".
    """

    before: str
    left: int
    op: str
    right: int
    result: int
    after: str

    @property
    def equation(self) -> str:
        """The bare calculation: "12 + 5 = 17"."""
        return f"{self.left} {self.op} {self.right} = {self.result}"

    @property
    def sentence(self) -> str:
        """The calculation in its words: "Tom now has 12 + 5 = 17 apples."."""
        return self._told(self.equation)

    @property
    def outcome(self) -> str:
        """The result alone in its words: "Tom now has 17 apples."."""
        return self._told(str(self.result))

    def _told(self, middle: str) -> str:
        return " ".join(part for part in (self.before, middle, self.after) if part) + "."


@dataclass(frozen=True)
class Problem:
    """A word problem with its worked solution.

    Attributes:
        story: Sentences that hold every number needed.
        question: The question about the story.
        steps: The calculations that lead to the answer, in order.
        answer: Result of the last step.
        unit: What the answer counts, in the singular for an answer of one.
    """

    story: str
    question: str
    steps: tuple[Step, ...]
    answer: int
    unit: str


class _Noun(NamedTuple):
    one: str
    many: str

    def of(self, number: int) -> str:
        return self.one if number == 1 else self.many


class _Person(NamedTuple):
    name: str
    he: str
    him: str


def _nouns(words: str) -> tuple[_Noun, ...]:
    return tuple(
        _Noun(*word.split("/")) if "/" in word else _Noun(word, word + "s")
        for word in words.split()
    )


THINGS = _nouns(
    "apple pear plum nut egg cookie pencil book card coin stone shell stamp sticker button "
    "marble ball toy ribbon bead leaf/leaves candle ticket cup brush/brushes key"
)
CONTAINERS = _nouns("box/boxes bag basket jar pack")
FLOWERS = _nouns("rose tulip daisy/daisies lily/lilies")
DOLLARS = _Noun("dollar", "dollars")
PAGES = _Noun("page", "pages")
PEOPLE = _Noun("person", "people")
POINTS = _Noun("point", "points")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
_WOMEN = "Ann Mia Lucy Eva Nora Rose Kate Lily Sara Emma Zoe Ruth".split()
_MEN = "Tom Ben Sam Max Leo Paul Jack Omar Luis Adam Ivan Noah".split()
PERSONS = (
    *(_Person(name, "she", "her") for name in _WOMEN),
    *(_Person(name, "he", "him") for name in _MEN),
)

_GAINS = (
    "{he} buys {n} more", "{he} finds {n} more", "{friend} gives {him} {n} more",
    "{he} gets {n} more",
)  # fmt: skip
_LOSSES = (
    "{he} gives {n} to {friend}", "{he} loses {n}", "{he} sells {n}",
    "{friend} takes {n} of them",
)  # fmt: skip


def grows(rng: random.Random, total: int) -> bool:
    """Draws whether a running total goes up or down next, with room to stay between 0 and 99."""
    return total < 4 or (total <= LARGEST - LARGEST_OPERAND and rng.random() < 0.5)


class _Tale:
    """Collects the sentences and steps of one problem while a scene tells it."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.sentences: list[str] = []
        self.steps: list[Step] = []

    def tell(self, sentence: str) -> None:
        """Adds one sentence, given without its full stop, to the story."""
        self.sentences.append(f"{sentence[0].upper()}{sentence[1:]}.")

    def work(
        self, before: str, left: int, op: str, right: int, noun: _Noun, words: str = ""
    ) -> int:
        """Adds one step and returns its result."""
        result = left + right if op == "+" else left - right if op == "-" else left * right
        after = f"{noun.of(result)} {words}" if words else noun.of(result)
        self.steps.append(Step(before, left, op, right, result, after))
        return result

    def ask(self, question: str, noun: _Noun) -> Problem:
        """Ends the tale with its question."""
        answer = self.steps[-1].result
        return Problem(
            " ".join(self.sentences), question, tuple(self.steps), answer, noun.of(answer)
        )

    def amount(self, high: int = LARGEST_OPERAND) -> int:
        """Draws an operand of a sum or difference."""
        return self.rng.randint(2, min(LARGEST_OPERAND, high))

    def factor(self, high: int = 9) -> int:
        """Draws an operand of a product."""
        return self.rng.randint(2, high)

    def change(self, person: _Person, friend: _Person, total: int, noun: _Noun, word: str) -> int:
        """Tells that a person gets or loses some things, works it out and returns what is left."""
        up = grows(self.rng, total)
        number = self.amount(LARGEST if up else total)
        event = self.rng.choice(_GAINS if up else _LOSSES)
        event = event.format(he=person.he, him=person.him, friend=friend.name, n=number)
        self.tell(f"Then {event}" if self.rng.random() < 0.4 else event)
        return self.work(f"{person.name} {word} has", total, "+" if up else "-", number, noun)


def _collecting(tale: _Tale, num: int) -> Problem:
    person, friend = tale.rng.sample(PERSONS, 2)
    noun = tale.rng.choice(THINGS)
    total = tale.amount()
    tale.tell(f"{person.name} has {total} {noun.many}")
    for index in range(num):
        total = tale.change(person, friend, total, noun, "now" if index == num - 1 else "then")
    return tale.ask(f"How many {noun.many} does {person.name} have now?", noun)


def _packing(tale: _Tale, num: int) -> Problem:
    person, friend = tale.rng.sample(PERSONS, 2)
    noun, box = tale.rng.choice(THINGS), tale.rng.choice(CONTAINERS)
    boxes, each = tale.factor(), tale.factor()
    tale.tell(f"{person.name} has {boxes} {box.many} with {each} {noun.many} in each {box.one}")
    total = tale.work(f"The {box.many} hold", boxes, "*", each, noun)
    for index in range(num - 1):
        total = tale.change(person, friend, total, noun, "now" if index == num - 2 else "then")
    return tale.ask(
        f"How many {noun.many} does {person.name} have{' now' if num > 1 else ''}?", noun
    )


def _pooling(tale: _Tale, num: int) -> Problem:
    first, second, third = tale.rng.sample(PERSONS, 3)
    noun = tale.rng.choice(THINGS)
    one, two, three = tale.amount(), tale.amount(), tale.amount()
    tail = (
        f", {second.name} has {two} and {third.name} has {three}"
        if num > 1
        else f" and {second.name} has {two}"
    )
    tale.tell(f"{first.name} has {one} {noun.many}{tail}")
    total = tale.work(f"{first.name} and {second.name} have", one, "+", two, noun)
    if num > 1:
        total = tale.work(f"With {third.name} they have", total, "+", three, noun)
    if num > 2:
        lost = tale.amount(total)
        tale.tell(f"They give away {lost} of them")
        tale.work("They keep", total, "-", lost, noun)
        return tale.ask(f"How many {noun.many} do they keep?", noun)
    return tale.ask(f"How many {noun.many} do they have together?", noun)


def _comparing(tale: _Tale, num: int) -> Problem:
    first, second, third = tale.rng.sample(PERSONS, 3)
    noun = tale.rng.choice(THINGS)
    one = tale.amount()
    up = grows(tale.rng, one)
    gap = tale.amount(LARGEST if up else one)
    tale.tell(f"{first.name} has {one} {noun.many}")
    tale.tell(f"{second.name} has {gap} {'more' if up else 'fewer'} than {first.name}")
    two = tale.work(f"{second.name} has", one, "+" if up else "-", gap, noun)
    if num == 1:
        return tale.ask(f"How many {noun.many} does {second.name} have?", noun)
    if num == 3:
        three = tale.amount(LARGEST - one - two)
        tale.tell(f"{third.name} has {three}")
    total = tale.work(f"{first.name} and {second.name} have", one, "+", two, noun)
    if num == 3:
        tale.work(f"With {third.name} they have", total, "+", three, noun)
    return tale.ask(f"How many {noun.many} do they have together?", noun)


def _differing(tale: _Tale, num: int) -> Problem:
    first, second = tale.rng.sample(PERSONS, 2)
    noun = tale.rng.choice(THINGS)
    two = tale.amount(15)
    bought = tale.amount(10) if num > 1 else 0
    one = tale.rng.randint(two + bought, 40)
    tale.tell(f"{first.name} has {one} {noun.many} and {second.name} has {two}")
    if num > 1:
        tale.tell(f"Then {second.name} buys {bought} more")
        two = tale.work(f"{second.name} then has", two, "+", bought, noun)
    tale.work(f"{first.name} has", one, "-", two, noun, "more")
    return tale.ask(f"How many more {noun.many} than {second.name} does {first.name} have?", noun)


def _riding(tale: _Tale, num: int) -> Problem:
    ride = tale.rng.choice(("bus", "train", "boat"))
    total = tale.amount()
    tale.tell(f"A {ride} has {total} people on it")
    for index in range(num):
        up = grows(tale.rng, total)
        number = tale.amount(LARGEST if up else total)
        tale.tell(
            f"At stop {('one', 'two', 'three')[index]} {number} people get {'on' if up else 'off'}"
        )
        total = tale.work(f"The {ride} then has", total, "+" if up else "-", number, PEOPLE)
    return tale.ask(f"How many people are on the {ride} now?", PEOPLE)


def _shopping(tale: _Tale, num: int) -> Problem:
    person = tale.rng.choice(PERSONS)
    noun = tale.rng.choice(THINGS)
    price, number = tale.factor(), tale.factor()
    tale.tell(f"One {noun.one} costs {price} dollars")
    tale.tell(f"{person.name} buys {number} {noun.many}")
    cost = tale.work(f"The {noun.many} cost", number, "*", price, DOLLARS)
    if num == 1:
        return tale.ask(f"How many dollars does {person.name} pay?", DOLLARS)
    if num == 3:
        extra = tale.amount(LARGEST - cost)
        tale.tell(f"{person.he} also buys a hat for {extra} dollars")
        cost = tale.work("With the hat it is", cost, "+", extra, DOLLARS)
    purse = tale.rng.randint(cost, min(cost + LARGEST_OPERAND, LARGEST))
    tale.tell(f"{person.he} had {purse} dollars")
    tale.work(f"{person.name} has", purse, "-", cost, DOLLARS, "left")
    return tale.ask(f"How many dollars does {person.name} have left?", DOLLARS)


def _reading(tale: _Tale, num: int) -> Problem:
    person = tale.rng.choice(PERSONS)
    read = [tale.amount(20) for _ in range(num)]
    left = sum(read) + tale.rng.randint(0, LARGEST_OPERAND)
    first = tale.rng.randrange(len(DAYS) - num + 1)
    tale.tell(f"{person.name} has a book of {left} pages")
    days = DAYS[first : first + num]
    pieces = [f"{number} on {day}" for number, day in zip(read, days, strict=True)]
    tale.tell(f"{person.he} reads {' and '.join(pieces)}")
    for number, day in zip(read, days, strict=True):
        left = tale.work(f"After {day} {person.he} has", left, "-", number, PAGES, "left")
    return tale.ask(f"How many pages does {person.name} have left?", PAGES)


def _planting(tale: _Tale, num: int) -> Problem:
    person = tale.rng.choice(PERSONS)
    noun, other = tale.rng.sample(FLOWERS, 2)
    # Two products are summed in the longest form, hence the smaller factors there.
    rows, each = tale.factor(6 if num == 3 else 9), tale.factor(6 if num == 3 else 9)
    tale.tell(f"{person.name} plants {rows} rows of {each} {noun.many}")
    total = tale.work("There are", rows, "*", each, noun)
    if num == 1:
        return tale.ask(f"How many {noun.many} does {person.name} plant?", noun)
    if num == 2:
        more = tale.amount(LARGEST - total)
        tale.tell(f"{person.he} also plants {more} {other.many}")
    else:
        more_rows, more_each = tale.factor(6), tale.factor(6)
        tale.tell(f"{person.he} also plants {more_rows} rows of {more_each} {other.many}")
        more = tale.work("There are", more_rows, "*", more_each, other)
    flowers = _Noun("flower", "flowers")
    tale.work(f"{person.name} plants", total, "+", more, flowers)
    return tale.ask(f"How many flowers does {person.name} plant?", flowers)


def _wishing(tale: _Tale, num: int) -> Problem:
    person, friend = tale.rng.sample(PERSONS, 2)
    noun = tale.rng.choice(THINGS)
    total, gifts = tale.amount(20), [tale.amount(15) for _ in range(num - 1)]
    goal = total + sum(gifts) + tale.rng.randint(1, LARGEST_OPERAND)
    tale.tell(f"{person.name} wants {goal} {noun.many} and has {total}")
    for index, gift in enumerate(gifts):
        tale.tell(
            f"{person.he} finds {gift} more"
            if index
            else f"{friend.name} gives {person.him} {gift} more"
        )
        total = tale.work(f"{person.name} then has", total, "+", gift, noun)
    tale.work(f"{person.name} needs", goal, "-", total, noun, "more")
    return tale.ask(f"How many more {noun.many} does {person.name} need?", noun)


def _scoring(tale: _Tale, num: int) -> Problem:
    person = tale.rng.choice(PERSONS)
    game = tale.rng.choice(("a game", "a quiz", "cards", "darts"))
    rounds = [tale.amount(24) for _ in range(num + 1)]
    tale.tell(f"{person.name} plays {game}")
    tale.tell(f"{person.he} scores {', '.join(map(str, rounds[:-1]))} and {rounds[-1]} points")
    total = rounds[0]
    for number in rounds[1:]:
        total = tale.work(f"{person.he.capitalize()} gets to", total, "+", number, POINTS)
    return tale.ask(f"How many points does {person.name} score in all?", POINTS)


_Scene = Callable[[_Tale, int], Problem]
_LONG_SCENES: tuple[_Scene, ...] = (
    _collecting, _packing, _pooling, _comparing, _riding,
    _shopping, _reading, _planting, _wishing, _scoring,
)  # fmt: skip
_SHORT_SCENES = (*_LONG_SCENES, _differing)
_SCENES = {1: _SHORT_SCENES, 2: _SHORT_SCENES, 3: _LONG_SCENES}
_STEP_COUNTS = (1,) * 7 + (2,) * 9 + (3,) * 4


def sample_problem(rng: random.Random) -> Problem:
    """Draws a problem of one (35 %), two (45 %) or three (20 %) steps.

    Args:
        rng: Source of every choice; the same state gives the same problem.

    Returns:
        The problem; its answer and all results between are between 0 and 99.
    """
    num = rng.choice(_STEP_COUNTS)
    return rng.choice(_SCENES[num])(_Tale(rng), num)


def split_of(problem: Problem) -> str:
    """Assigns a problem to a split by a hash of its story.

    The question is left out of the hash on purpose: whatever is asked about a story, the
    story itself and thus its numbers belong to one split only.

    Args:
        problem: Any problem.

    Returns:
        "test" or "selection" (an eighth each) or "train".
    """
    return split_of_text(problem.story)
