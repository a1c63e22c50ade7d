"""Whether a response follows verifiable instructions: lm-evaluation-harness's IFEval checkers, offline.

Three things in the checkers hang on chance or on files that are not there. Here the same response
always has the same verdict:

- Sentences are split by NLTK's Punkt (Kiss and Strunk 2006). Its published English model is a
  download; here the algorithm has abbreviations from a list below and learns from the prompts of
  the test which words are also written in lower case. On GPT-4's published responses to IFEval
  the two count the same sentences in 97 of 100 texts, and no instruction is judged otherwise.
  Upstream's own model is used if asked for, and must then be there.
- The language detector draws random numbers: it is seeded with 0 each time.
- Where the letter to be counted is none (`#` and `!`, in the test's items 1122 and 1129), upstream
  counts a letter at random: here the character asked for is counted. That gives GPT-4's published
  417 and 431 prompts, 697 and 713 instructions.
"""

from __future__ import annotations

import contextlib
import functools
import random
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any
from unittest import mock

from sah_jax.errors import UserError

# Those of Punkt's English model are Wall Street Journal's; of these, what one meets elsewhere.
_ABBREVIATIONS = frozenset(
    "mr mrs ms messrs dr prof gen col maj capt lt sgt rep sen gov rev hon st ave blvd rd ft mt jr sr inc ltd "
    "co corp bros dept v vs fig vol pp approx u.s u.s.a u.k u.n d.c a.m p.m a.d b.c ph.d m.d b.a m.a jan feb "
    "mar apr jun jul aug sep sept oct nov dec tue wed thu fri".split()
)


# So often must a checker that is given its arguments say the same instruction again.
_REDRAWS = 16

# The prompt itself is an argument of it, and must be followed by what it says.
_NOT_ADDED = {"combination:repeat_prompt"}


def follows(
    prompt: str,
    names: Sequence[str],
    arguments: Sequence[Mapping[str, Any]],
    response: str,
    sentences: Any = None,
) -> tuple[list[bool], list[bool]]:
    """Judges a response by each instruction, strictly and loosely.

    Loosely, an instruction is followed if it is by one of eight variants of the response: without
    its first line, its last line, or asterisks.

    Args:
        prompt: What was asked.
        names: The instructions' names, such as "punctuation:no_comma".
        arguments: The keyword arguments of each; those that are None are left out.
        response: What was answered.
        sentences: What splits sentences, see `sentences`; None for upstream's model.

    Returns:
        For each instruction, whether it is followed strictly, and whether it is loosely.

    Raises:
        UserError: An instruction is unknown, or the checkers or upstream's model are not installed.
    """
    checkers = _checkers()
    strict, loose = [], []
    for name, given in zip(names, arguments, strict=True):
        if name not in checkers.instructions_registry.INSTRUCTION_DICT:
            raise UserError(
                f"Got the instruction {name!r}, expected one of lm_eval's IFEval; correct the item."
            )
        given, text = _with_a_letter(given, response)
        item = checkers.InputExample(0, [name], prompt, [given])
        with _repeatable(sentences):
            strict += checkers.test_instruction_following_strict(item, text).follow_instruction_list
        with _repeatable(sentences):
            loose += checkers.test_instruction_following_loose(item, text).follow_instruction_list
    return strict, loose


def problem(names: Sequence[str], arguments: Sequence[Any]) -> str:
    """Says what is wrong with the instructions of an item, or "" if nothing is.

    Where the checkers are not installed, only the arguments' shape is looked at.
    """
    if not names or len(names) != len(arguments) or not all(isinstance(name, str) for name in names):
        return (f"got the instructions {names} and {len(arguments)} kwargs, expected at least one name and "
                "one object for each")
    if wrong := [one for one in arguments if not isinstance(one, Mapping)]:
        return f"got {wrong[0]!r} among the kwargs, expected an object for each instruction"
    try:
        known = _checkers().instructions_registry.INSTRUCTION_DICT
    except UserError:
        return ""
    for name, given in zip(names, arguments, strict=True):
        if name not in known:
            return f"got the instruction {name!r}, expected one of lm_eval's IFEval"
        try:
            with _repeatable(None):
                known[name](name).build_description(
                    **{key: value for key, value in given.items() if value is not None})
        except Exception as error:  # each instruction checks its arguments in its own way, or not at all
            return f"got the kwargs {dict(given)} for {name!r}, which takes no such ones ({error})"
    return ""


def add(prompt: str, num: int, rng: random.Random) -> tuple[str, tuple[str, ...], tuple[dict, ...]]:
    """Adds random instructions to a prompt, as many as go together.

    Returns:
        The prompt with each instruction in words after it, their names, and their arguments.
    """
    registry = _checkers().instructions_registry
    left = sorted(set(registry.INSTRUCTION_DICT) - _NOT_ADDED)
    names, arguments, words = [], [], [prompt]
    while left and len(names) < num:
        name = rng.choice(left)
        instruction = registry.INSTRUCTION_DICT[name](name)
        with _repeatable(None, seed=rng.getrandbits(32)):
            said = instruction.build_description()
            given = dict(instruction.get_instruction_args() or {})
            # Some draws are impossible (paragraph 2 of 1); a checker that is given one draws again.
            if any(instruction.build_description(**given) != said for _ in range(_REDRAWS)):
                continue
        words.append(said)
        names.append(name)
        arguments.append(given)
        against = registry.INSTRUCTION_CONFLICTS
        left = [one for one in left if one not in against[name] and name not in against[one]]
    return " ".join(words), tuple(names), tuple(arguments)


def sentences(texts: Sequence[str]) -> Any:
    """Returns what splits English text into sentences without upstream's model.

    Args:
        texts: English texts to learn from how words are written.
    """
    _checkers()
    from nltk.tokenize import punkt

    parameters = punkt.PunktParameters()
    parameters.abbrev_types = set(_ABBREVIATIONS)
    parameters.ortho_context = punkt.PunktTrainer("\n".join(texts)).get_params().ortho_context
    return punkt.PunktSentenceTokenizer(parameters)


def check_model() -> None:
    """Raises `UserError` unless upstream's model of sentences is installed."""
    _checkers()
    import nltk

    try:
        nltk.data.find("tokenizers/punkt_tab/english/")
    except LookupError as error:
        raise UserError(
            "NLTK's punkt_tab is not installed, expected it for upstream's sentences; run python -m "
            "nltk.downloader punkt_tab, or leave the option punkt out."
        ) from error


def _with_a_letter(
    arguments: Mapping[str, Any], response: str
) -> tuple[Mapping[str, Any], str]:
    """Has a character that is no letter counted as if it were one, which is taken out of the text."""
    letter = arguments.get("letter") or "q"
    if letter.isascii() and letter.isalpha() or len(letter) > 1:
        return arguments, response
    text = response.replace("q", "").replace("Q", "").replace(letter, "q")
    return {**arguments, "letter": "q"}, text


@contextlib.contextmanager
def _repeatable(splitter: Any, seed: int = 0) -> Iterator[None]:
    """Has the checkers draw the same numbers each time, and split sentences as asked."""
    import langdetect
    import nltk
    from lm_eval.tasks.ifeval import instructions_util

    def words(text: str) -> list[str]:
        # As nltk.word_tokenize does, but for who splits the sentences.
        found = splitter.tokenize(text)
        return [word for one in found for word in whole(one, preserve_line=True)]

    whole, state = nltk.word_tokenize, random.getstate()
    with contextlib.ExitStack() as stack:
        stack.callback(random.setstate, state)
        random.seed(seed)
        stack.enter_context(mock.patch.object(langdetect.DetectorFactory, "seed", 0))
        if splitter is not None:
            count = lambda text: len(splitter.tokenize(text))
            stack.enter_context(mock.patch.object(instructions_util, "count_sentences", count))
            stack.enter_context(mock.patch.object(nltk, "word_tokenize", words))
        yield


@functools.cache
def _checkers() -> ModuleType:
    try:
        import nltk

        # Its import would try to download Punkt's model.
        with mock.patch.object(nltk, "download"), contextlib.redirect_stdout(None):
            from lm_eval.tasks.ifeval import utils
    except ImportError as error:
        raise UserError(
            f"IFEval's checkers are not installed ({error}); install the extra: pip install "
            "sah_jax[lm_eval]."
        ) from error
    return utils
