"""What is asked of a row before it is taken.

A row of the wrong shape is an error. A row of the right shape with nothing or the wrong thing in it
is a `Defect`: an error in a file of the user's, while in a published file it is left out and counted,
because there it cannot be corrected.
"""

import hashlib
import re
from typing import Any

from sah_jax import errors
from sah_jax.tasks.datasets.formats import Record


class Defect(errors.UserError):
    """A row that a published file may have, and that is left out of it."""


class Unlabelled(Defect):
    """A row without what it would be scored by; left out of any file."""


def field(record: Record, name: str, kind: type) -> Any:
    """Returns a field of a row.

    Raises:
      UserError: it is missing or of another type.
    """
    if name not in record.values:
        raise errors.UserError(
            f"{record.where}: has no field {name!r} (got {', '.join(record.values)}); correct the row.")
    value = record.values[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise errors.UserError(
            f"{record.where}: {name} is {value!r:.60}, expected {_KINDS[kind]}; correct the row.")
    return value


_KINDS = {str: "a text", int: "a whole number", list: "a list"}


def text(record: Record, name: str) -> str:
    """Returns a text of a row, as it stands there.

    Raises:
      UserError: it is missing or no text.
      Defect: it is empty.
    """
    return filled(record, name, field(record, name, str))


def filled(record: Record, name: str, value: str) -> str:
    """Returns a text.

    Raises:
      Defect: it is empty or blank.
    """
    if not value.strip():
        raise Defect(f"{record.where}: {name} is empty, expected a text; correct or remove the row.")
    return value


class Unique:
    """Checks that no identity comes twice in a split."""

    def __init__(self):
        self._where: dict[bytes, str] = {}

    def check(self, record: Record, identity: Any) -> None:
        """Raises a `Defect` where an identity other than None comes again."""
        if identity is None:
            return
        # Not the identity itself: there may be a million, and long ones.
        key = hashlib.sha256(repr(identity).encode("utf-8", "surrogatepass")).digest()[:16]
        first = self._where.setdefault(key, record.where)
        if first != record.where:
            raise Defect(
                f"{record.where}: has the same {identity[0]} ({identity[1]!s:.60}) as {first}, expected each "
                "once; remove one of them.")


# Function words of one of the two languages that are no words of the other.
_WORDS = {
    "English": frozenset(
        "the of and is was were that this with he she they you my your his her have had been what which "
        "who from".split()),
    "French": frozenset(
        "le les des du est une et que qui dans pas avec cette il elle nous vous je ne sont aux mais".split()),
}
_OTHER = {"English": "French", "French": "English"}
_FEW_WORDS = 3


class Pairs:
    """Checks that translation pairs are English on one side and French on the other.

    What is checked is cheap and can be explained: a side with three or more function words of the other
    language and none of its own; the same text of more than three words on both sides; and, over a
    whole split, more than twice as many function words of the other language as of its own. Short pairs
    pass the first two: "Ignore Tom." is both English and French.
    """

    def __init__(self):
        self._counts = {column: dict.fromkeys(_WORDS, 0) for column in _WORDS}

    def check(self, record: Record, english: str, french: str) -> None:
        """Checks one pair.

        Raises:
          Defect: a side is in the other language, or both are the same.
        """
        if english.strip() == french.strip() and len(english.split()) > _FEW_WORDS:
            raise Defect(
                f"{record.where}: got the same text on both sides ({english:.40}...), expected English and "
                "its French translation; remove the row.")
        for language, side in (("English", english), ("French", french)):
            words = re.findall(r"[^\W\d_]+", side.lower())
            hits = {one: sum(word in function for word in words) for one, function in _WORDS.items()}
            if hits[language] == 0 and hits[_OTHER[language]] >= _FEW_WORDS:
                raise Defect(
                    f"{record.where}: got {_OTHER[language]} ({side:.40}...) where {language} is expected; "
                    "correct or remove the row.")
            for one in hits:
                self._counts[language][one] += hits[one]

    def finish(self, where: str) -> None:
        """Checks the languages of a whole split.

        Raises:
          UserError: a side has many function words of the other language and few of its own.
        """
        for language, hits in self._counts.items():
            if hits[_OTHER[language]] >= max(_FEW_WORDS, 2 * hits[language] + 1):
                raise errors.UserError(
                    f"{where}: the {language} side has {hits[_OTHER[language]]} function words of "
                    f"{_OTHER[language]} and {hits[language]} of {language}, expected {language}; swap or "
                    "replace the files or columns.")
