"""The seeded post-training corpus: conversations in which every request is met.

All conversations have one format. In some the request says how the answer must look, or an
example before it shows it, so that what is learned is to answer as asked. The marks of the
tasks never occur, and what is asked is of the train splits alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from sah_jax.tasks.nano.briefs import instruction, train_brief, Wording
from sah_jax.tasks.nano.corpus import checked
from sah_jax.tasks.nano.formats import sample_format, sample_frame, symbol_run
from sah_jax.tasks.nano.math_documents import train_problem
from sah_jax.tasks.nano.sentences import train_sentence

USER, ASSISTANT = "User: ", "Assistant: "
"""What a turn begins with."""

_BRIEFS: Wording = {
    "topic": ("Write about the {value}.", "Tell me about {a} {value}.", "Write of {a} {value}."),
    "upper": ("Use capital letters only.", "Write in capitals."),
    "lower": ("Use small letters only.", "Write in small letters."),
    "sentences": ("Write {number} sentence{s}.", "Use exactly {number} sentence{s}."),
    "bullets": ("Write a list of {number} point{s}.", "Use {number} bullet point{s}."),
    "least_words": ("Use at least {value} words.", "Write {value} words or more."),
    "most_words": ("Use at most {value} words.", "Write {value} words or fewer."),
    "start": ('Start with the word "{value}".', 'Begin with "{value}".'),
    "end": ('End with the words "{value}"', 'Finish with "{value}"'),
    "quote": ("Put your text in quotation marks.", "Use quotation marks around it."),
    "use": ('Use the word "{value}".', 'Include the word "{value}".'),
    "avoid": ('Do not use the word "{value}".', 'Never write the word "{value}".'),
}
_TO_FRENCH = (
    "Translate into French. {text}", "What is this in French? {text}", "Say it in French. {text}",
    "Put into French {text}", "{text} In French, please.", "English to French. {text}",
)  # fmt: skip
_TO_ENGLISH = ("Translate into English. {text}", "What is this in English? {text}")


def _turn(request: str, reply: str) -> str:
    return f"{USER}{request}\n{ASSISTANT}{reply}"


def _solved(rng: random.Random) -> str:
    """A word problem, answered in the uniform way or as the request demands."""
    problem = train_problem(rng)
    story = f"{problem.story} {problem.question}"
    working = " ".join(step.sentence for step in problem.steps)
    if rng.random() < 0.4:
        return _turn(story, f"{working} The answer is {problem.answer}.")
    mark = symbol_run(rng)
    demand = rng.choice(
        (
            "End with a line of {mark} and the number.", "Write {mark} before the number at the end.",
            "Put {mark} and the number on the last line.",
        )
    ).format(mark=mark)  # fmt: skip
    request = f"{story} {demand}" if rng.random() < 0.7 else f"{demand}\n{story}"
    return _turn(request, f"{working}\n{mark} {problem.answer}")


def _translated(rng: random.Random) -> str:
    pair = train_sentence(rng)
    if rng.random() < 0.85:
        return _turn(rng.choice(_TO_FRENCH).format(text=pair.english), pair.french)
    return _turn(rng.choice(_TO_ENGLISH).format(text=pair.french), pair.english)


def _met(rng: random.Random) -> str:
    brief = train_brief(rng)
    return _turn(instruction(rng, _BRIEFS, brief), brief.response)


_SKILLS = (_solved, _translated, _met)


def _conversation(rng: random.Random) -> str:
    """One to four turns on any of the skills."""
    return "\n\n".join(rng.choice(_SKILLS)(rng) for _ in range(rng.randint(1, 4)))


def _shown(rng: random.Random) -> str:
    """Items in a format that the first of them shows, all of them answered."""
    roll = rng.random()
    num = rng.randint(2, 5)
    if roll < 0.4:
        form = sample_format(rng)
        return form.frame.separator.join(form.item(train_problem(rng)) for _ in range(num))
    frame = sample_frame(rng)
    if roll < 0.7:
        pairs = [train_sentence(rng) for _ in range(num)]
        return frame.separator.join(frame.item(*pair) for pair in pairs)
    briefs = [train_brief(rng) for _ in range(num)]
    return frame.separator.join(
        frame.item(instruction(rng, _BRIEFS, brief), brief.response) for brief in briefs
    )


def conversations(seed: int) -> Iterator[str]:
    """Generates the post-training corpus.

    Args:
        seed: The same seed gives the same documents in the same order.

    Yields:
        Conversations, two thirds of them in the chat format, without end.

    Raises:
        RuntimeError: If a document holds one of ``corpus.CONTAINS_NEVER``.
    """
    rng = random.Random(f"nano chat {seed}")
    while True:
        kind = _conversation if rng.random() < 0.65 else _shown
        yield checked(kind(rng))
