"""Documents about numbers: sums, number words, little stories and worked problems.

Formats change from document to document; the problems come from the train split alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from sah_jax.tasks.nano.formats import (
    capitalized,
    heading,
    invented_word,
    NUMBER_WORDS,
    OP_WORDS,
    sample_format,
    symbol_run,
    until,
    word_equation,
)
from sah_jax.tasks.nano.problems import (
    grows,
    LARGEST,
    LARGEST_OPERAND,
    PERSONS,
    Problem,
    sample_problem,
    split_of,
    Step,
    THINGS,
)

_FILLERS = (
    "It is a sunny day.", "The sky is blue.", "It rains a little.", "The birds sing.",
    "The wind is cold today.", "School is out.", "The shop is open.",
    "The dog sleeps at the door.", "Dinner is at six.", "The road is long.",
)  # fmt: skip
_ENDINGS = (
    "Then {name} goes home.", "{name} is happy.", "{name} is tired.", "{name} laughs.",
    "{name} counts again.",
)  # fmt: skip


def train_problem(rng: random.Random) -> Problem:
    """Draws a problem of the train split."""
    while split_of(problem := sample_problem(rng)) != "train":
        pass
    return problem


def _sum(rng: random.Random) -> Step:
    """Draws a bare calculation with a result between 0 and 99."""
    roll = rng.random()
    if roll < 0.2:
        left, right = rng.randint(2, 9), rng.randint(2, 9)
        return Step("", left, "*", right, left * right, "")
    if roll < 0.6:
        right = rng.randint(0, LARGEST_OPERAND)
        # Half of the left operands are as small as those of a problem's first step.
        left = rng.randint(0, LARGEST_OPERAND if rng.random() < 0.5 else LARGEST - right)
        return Step("", left, "+", right, left + right, "")
    left = rng.randint(2, 40 if rng.random() < 0.5 else LARGEST)
    right = rng.randint(0, min(left, LARGEST_OPERAND))
    return Step("", left, "-", right, left - right, "")


def _sum_problem(rng: random.Random) -> Problem:
    """Draws a calculation as a question without a story."""
    step = _sum(rng)
    left, right, op = step.left, step.right, OP_WORDS[step.op]
    question = rng.choice((
        f"What is {left} {step.op} {right}?",
        f"What is {left} {op} {right}?",
        f"How much is {NUMBER_WORDS[left]} {op} {NUMBER_WORDS[right]}?",
        f"Work out {left} {step.op} {right}.",
    ))  # fmt: skip
    return Problem("", question, (step,), step.result, "")


def _quiz(rng: random.Random) -> str:
    """Several word problems in one random format."""
    form = sample_format(rng)
    return until(rng, lambda: form.item(train_problem(rng)), form.frame.separator, 400, 2000)


def _sum_quiz(rng: random.Random) -> str:
    """Several bare calculations in one random format."""
    form = sample_format(rng)
    return until(rng, lambda: form.item(_sum_problem(rng)), form.frame.separator, 200, 900)


def _lesson(rng: random.Random) -> str:
    """One or two problems, each worked at length in prose."""
    title = heading(rng, ("Sums", "A lesson", "Stories with numbers", "Let us count"))
    return title + "\n\n".join(
        _worked(rng, train_problem(rng)) for _ in range(rng.randint(1, 2))
    )


def _worked(rng: random.Random, problem: Problem) -> str:
    working = [
        rng.choice(
            ("Let us work it out.", "We go step by step.", "This is how it goes.", "Think first.")
        )
    ]
    for step in problem.steps:
        words = f"{capitalized(word_equation(step))}."
        working.append(
            rng.choice((step.sentence, f"{words} {step.sentence}", f"{step.sentence} {words}"))
        )
    end = rng.choice(
        (
            "So the answer is {n}.",
            "That makes {n} {unit}.",
            "We get {n} {unit}.",
            "The result is {word}.",
        )
    )
    end = end.format(n=problem.answer, unit=problem.unit, word=NUMBER_WORDS[problem.answer])
    return f"{problem.story} {problem.question}\n{' '.join(working)} {end}"


def _sums(rng: random.Random) -> str:
    """A list of equations in one style."""
    title = heading(rng, ("Sums", "Plus and minus", "Practice", "Numbers"))
    separator = rng.choice(("\n", "\n", ", ", "; ", ". "))
    if rng.random() < 0.25:
        equals = rng.choice(
            ("=>", "->", "is", "makes", "gives", symbol_run(rng), invented_word(rng))
        )
        return title + until(
            rng, lambda: _sum(rng).equation.replace("=", equals), separator, 200, 500
        )
    return title + until(rng, lambda: _sum(rng).equation, separator, 200, 700)


def _chain(rng: random.Random) -> str:
    """Equations that each go on from the last result."""
    total = rng.randint(2, LARGEST_OPERAND)
    pieces = []
    for _ in range(rng.randint(10, 30)):
        up = grows(rng, total)
        number = rng.randint(2, LARGEST_OPERAND if up else min(total, LARGEST_OPERAND))
        result = total + number if up else total - number
        pieces.append(f"{total} {'+' if up else '-'} {number} = {result}")
        total = result
    return rng.choice(("\n", ", ", ". Then ")).join(pieces)


def _word_sums(rng: random.Random) -> str:
    """Calculations in number words, now and then next to their digits."""
    verb = rng.choice(("is", "makes", "gives", "equals"))

    def sentence() -> str:
        step = _sum(rng)
        words = f"{capitalized(word_equation(step, verb))}."
        return words if rng.random() < 0.6 else f"{words} {step.equation}."

    return until(rng, sentence, rng.choice((" ", "\n")), 200, 600)


def _counting(rng: random.Random) -> str:
    """Numbers counted up or down by a small step, in digits, words or both."""
    style = rng.choice((str, NUMBER_WORDS.__getitem__, lambda n: f"{n} is {NUMBER_WORDS[n]}"))

    def row() -> str:
        stride = rng.choice((1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10))
        start = rng.randint(0, 60)
        numbers = range(start, min(start + 12 * stride, LARGEST + 1), stride)
        down = rng.random() < 0.3
        return ", ".join(style(n) for n in (reversed(numbers) if down else numbers))

    return until(rng, row, rng.choice(("\n", ". ")), 150, 500)


def _comparisons(rng: random.Random) -> str:
    """Which of two numbers is larger, and by how much."""
    style = rng.randrange(4)

    def sentence() -> str:
        small, gap = rng.randint(0, 60), rng.randint(1, LARGEST_OPERAND)
        large = small + gap
        if style == 0:
            return (
                f"{large} is more than {small}."
                if rng.random() < 0.5
                else f"{small} is less than {large}."
            )
        if style == 1:
            return f"{large} > {small}" if rng.random() < 0.5 else f"{small} < {large}"
        if style == 2:
            return f"{large} is {gap} more than {small}, as {small} + {gap} = {large}."
        return f"{small} is {gap} fewer than {large}, as {large} - {gap} = {small}."

    return until(rng, sentence, rng.choice(("\n", " ")), 200, 600)


def _stories(rng: random.Random) -> str:
    """Little stories that tell what happens and how it ends, with no question."""

    def story() -> str:
        problem = train_problem(rng)
        results = " ".join(step.outcome for step in problem.steps)
        ending = rng.choice(_ENDINGS).format(name=rng.choice(PERSONS).name)
        return f"{rng.choice(_FILLERS)} {problem.story} {results} {ending}"

    return until(rng, story, "\n\n", 200, 900)


def _dialogue(rng: random.Random) -> str:
    """Two people ask each other about their things."""
    people = rng.sample(PERSONS, 2)
    quoted = rng.random() < 0.5
    turn = 0

    def line(text: str) -> str:
        nonlocal turn
        name = people[turn % 2].name
        turn += 1
        return f'"{text}" says {name}.' if quoted else f"{name}: {text}"

    def exchange() -> str:
        if rng.random() < 0.5:
            problem = train_problem(rng)
            reply = (
                f"{' '.join(step.sentence for step in problem.steps)} So it is {problem.answer}."
            )
            return f"{line(f'{problem.story} {problem.question}')}\n{line(reply)}"
        noun, one, two = (
            rng.choice(THINGS).many,
            rng.randint(2, LARGEST_OPERAND),
            rng.randint(2, LARGEST_OPERAND),
        )
        lines = (
            line(f"I have {one} {noun}."),
            line(f"I have {two}. How many do we have together?"),
            line(f"{one} + {two} = {one + two}, so we have {one + two} {noun}."),
        )
        return "\n".join(lines)

    return until(rng, exchange, "\n", 300, 1000)


KINDS: dict[Callable[[random.Random], str], int] = {
    _quiz: 50,
    _sum_quiz: 12,
    _lesson: 8,
    _sums: 13,
    _chain: 8,
    _word_sums: 6,
    _counting: 4,
    _comparisons: 4,
    _stories: 6,
    _dialogue: 6,
}
"""The kinds of documents with their relative frequencies."""
