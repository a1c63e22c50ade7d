"""Random ways to write a request with its reply, one drawn per document.

A corpus document repeats one format over several items, so that a model learns to pick
up a format from its context. Labels and markers are therefore drawn from wide pools,
invented words and symbol runs among them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from sah_jax.tasks.nano.problems import Problem, Step

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
NUMBER_WORDS = (
    *_SMALL,
    *(ten if not one else f"{ten}-{_SMALL[one]}" for ten in _TENS for one in range(10)),
)
"""The words of 0 to 99."""

OP_WORDS = {"+": "plus", "-": "minus", "*": "times"}

_QUESTION_LABELS = (
    "Q:", "Problem:", "Task:", "Puzzle:", "Exercise:", "Story:", "Try this:", "In:", "Pupil:",
    "1)", "*",
)  # fmt: skip
_ANSWER_LABELS = (
    "A:", "Solution:", "Working:", "Reply:", "Let us see.", "Steps:", "Out:", "Teacher:", "2)",
    "-",
)  # fmt: skip
_SYMBOLS = "@*~=%>$&^|+!:/<-"
_CONSONANTS, _VOWELS = "bdfgklmnprstvz", "aeiou"


def word_equation(step: Step, verb: str = "is") -> str:
    """Writes a step in words: "seven plus five is twelve"."""
    left, right, result = (NUMBER_WORDS[n] for n in (step.left, step.right, step.result))
    return f"{left} {OP_WORDS[step.op]} {right} {verb} {result}"


def capitalized(text: str) -> str:
    """Returns a text with its first letter in upper case and the rest unchanged."""
    return text[:1].upper() + text[1:]


def _in_sentences(steps: tuple[Step, ...]) -> str:
    return " ".join(step.sentence for step in steps)


def _in_lines(steps: tuple[Step, ...]) -> str:
    return "\n".join(step.sentence for step in steps)


def _in_equations(steps: tuple[Step, ...]) -> str:
    return ", ".join(step.equation for step in steps)


def _in_equation_lines(steps: tuple[Step, ...]) -> str:
    return "\n".join(step.equation for step in steps)


def _in_order(steps: tuple[Step, ...]) -> str:
    openings = ("First", "Then", "Last")
    return " ".join(
        f"{opening} {step.equation}." for opening, step in zip(openings, steps, strict=False)
    )


def _in_results(steps: tuple[Step, ...]) -> str:
    return " ".join(step.outcome for step in steps)


def _in_words(steps: tuple[Step, ...]) -> str:
    return " ".join(f"{capitalized(word_equation(step))}." for step in steps)


# Sentences with equations are the most frequent: the skill that other formats abridge.
_WORKINGS: tuple[Callable[[tuple[Step, ...]], str], ...] = (
    *(_in_sentences,) * 5, *(_in_lines,) * 2,
    _in_equations, _in_equation_lines, _in_order, _in_results, _in_words,
)  # fmt: skip

_MARKED = ("{marker} {n}",) * 6 + (
    "{marker} {n} {unit}",
    "{marker}{n}",
    "{n} {marker}",
    "{marker} {word}",
)
_CLOSINGS = (
    "So the answer is {n}.", "That makes {n} {unit}.", "The result is {n}.", "It is {n} {unit}.",
    "Total: {n}", "It is {word}.", "Thus {n}.", "({n})", "[{n}]", "<{n}>", "In words: {word}",
    "Result = {n}",
)  # fmt: skip


def invented_word(rng: random.Random) -> str:
    """Draws a word of one or two syllables that means nothing."""
    syllables = (rng.choice(_CONSONANTS) + rng.choice(_VOWELS) for _ in range(rng.randint(1, 2)))
    return "".join(syllables) + rng.choice(_CONSONANTS)


def symbol_run(rng: random.Random) -> str:
    """Draws one to five symbols, most often the same one over and over.

    A "#" comes at most twice in a row: the run of four belongs to the task alone.
    """
    roll = rng.random()
    if roll < 0.08:
        return "#" * rng.randint(1, 2)
    if roll < 0.7:
        return rng.choice(_SYMBOLS) * rng.randint(1, 5)
    return "".join(rng.choices(_SYMBOLS, k=rng.randint(2, 3)))


def until(rng: random.Random, draw: Callable[[], str], separator: str, low: int, high: int) -> str:
    """Joins draws until a length in characters between ``low`` and ``high`` is passed."""
    length = rng.randint(low, high)
    pieces: list[str] = []
    while length > 0:
        pieces.append(draw())
        length -= len(pieces[-1]) + len(separator)
    return separator.join(pieces)


def heading(rng: random.Random, titles: tuple[str, ...]) -> str:
    """Draws a title on a line of its own, or most often nothing."""
    if rng.random() < 0.6:
        return ""
    return f"{'#' * rng.randint(1, 2)} {rng.choice(titles)}\n\n"


def _label(rng: random.Random, known: tuple[str, ...]) -> str:
    roll = rng.random()
    if roll < 0.45:
        return rng.choice(known)
    if roll < 0.7:
        return f"{capitalized(invented_word(rng))}:"
    return symbol_run(rng) if roll < 0.85 else ""


@dataclass(frozen=True)
class Frame:
    """What stands around requests and replies, the same for all items of a document.

    Attributes:
        opening: Text before the request.
        middle: Text between the request and the reply.
        separator: Text between two items.
    """

    opening: str
    middle: str
    separator: str

    def item(self, request: str, reply: str) -> str:
        """Writes a request and its reply."""
        return f"{self.opening}{request}{self.middle}{reply}"


def sample_frame(
    rng: random.Random,
    requests: tuple[str, ...] = _QUESTION_LABELS,
    replies: tuple[str, ...] = _ANSWER_LABELS,
) -> Frame:
    """Draws a frame.

    Args:
        rng: Source of every choice.
        requests: Labels that can stand before a request; others are invented.
        replies: Labels that can stand before a reply.

    Returns:
        The frame, with a reply that begins on a line of its own or after a space.
    """
    request_label, reply_label = _label(rng, requests), _label(rng, replies)
    opening = request_label and request_label + rng.choice((" ", " ", " ", "\n"))
    line = rng.choice(("\n", "\n", "\n", " "))
    middle = f"{line}{reply_label} " if reply_label else line
    separator = rng.choice(("\n\n", "\n\n", "\n\n", "\n", "\n---\n", "\n\n***\n\n"))
    return Frame(opening, middle, separator)


@dataclass(frozen=True)
class ItemFormat:
    """One way to write problems with their worked answers, the same for a whole document.

    Attributes:
        frame: What stands around question and answer.
        working: Writes the steps; None leaves them out.
        closing: Template of the final answer.
        final_break: Text between the working and the closing.
        times: The sign of a product.
    """

    frame: Frame
    working: Callable[[tuple[Step, ...]], str] | None
    closing: str
    final_break: str
    times: str

    def answer(self, problem: Problem) -> str:
        """Writes the worked answer of a problem."""
        closing = self.closing.format(
            n=problem.answer, unit=problem.unit, word=NUMBER_WORDS[problem.answer]
        )
        closing = closing.replace(" .", ".").rstrip()
        if self.working is None:
            return closing
        working = self.working(problem.steps)
        if self.times != "*":
            working = working.replace(" * ", self.times)
        return f"{working}{self.final_break}{closing}"

    def item(self, problem: Problem) -> str:
        """Writes a problem and its worked answer."""
        text = f"{problem.story} {problem.question}".lstrip()
        return self.frame.item(text, self.answer(problem))


def sample_format(rng: random.Random) -> ItemFormat:
    """Draws a format.

    Args:
        rng: Source of every choice.

    Returns:
        The format, with an answer that can be told from its question.
    """
    frame = sample_frame(rng)
    if rng.random() < 0.55:
        # Braces would be read as fields of the template; the pools hold none.
        marker = symbol_run(rng) if rng.random() < 0.75 else capitalized(invented_word(rng))
        closing = rng.choice(_MARKED).replace("{marker}", marker)
        final_break = rng.choice(("\n", "\n", "\n", " "))
    else:
        closing = rng.choice(_CLOSINGS)
        final_break = rng.choice(("\n", " ", " "))
    return ItemFormat(
        frame=frame,
        working=None if rng.random() < 0.08 else rng.choice(_WORKINGS),
        closing=closing,
        final_break=final_break,
        times=rng.choice((" * ", " * ", " x ")),
    )
