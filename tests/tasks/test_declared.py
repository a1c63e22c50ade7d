"""Tasks that a TOML file declares: what is right, and what is no task."""

import json

import pytest

from sah_jax import errors
from sah_jax.tasks import registry

TOML = """train = "train.jsonl"
test = "test.jsonl"
prompt = "Q: {q}?"
answer = " it is <{a}>."
gold = "{a}"
extract = '<(\\w+)>'
stop = ["\\n"]
max_new_tokens = 4
"""


@pytest.fixture
def declare(tmp_path):
    """Returns a function that writes a task of some test items, and reads it."""
    def write(*items, toml=TOML):
        for name, rows in (("train", [{"q": "x", "a": "y"}]), ("test", items)):
            (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (tmp_path / "task.toml").write_text(toml)
        return registry.get_task(str(tmp_path / "task.toml"))

    return write


def test_the_group_of_the_expression_is_the_answer(declare):
    task = declare({"q": "a", "a": "b"})
    examples = task.examples("test", 1)
    assert examples[0].answer == " it is <b>." and examples[0].gold == "b"
    for response, right in ((" <b>", 1.0), (" b", 0.0), ("\n<b>", 0.0), (" <c> <b>", 0.0), ("", 0.0)):
        assert task.score(examples, [response]).value == right
    whole = declare({"q": "a", "a": "b"}, toml=TOML.replace("<(\\w+)>", "\\b\\w\\b"))
    assert whole.extract("the b is") == "b"


@pytest.mark.parametrize("item, message", [
    ({"q": "a", "a": ""}, "test.jsonl:2: has the gold ''"),
    ({"q": "a", "a": "b c"}, "' it is <b c>.' gives ''"),
    ({"q": "a", "a": None}, "test.jsonl:2: does not fill the answer"),
    ({"q": "a"}, "test.jsonl:2: does not fill the answer"),
])
def test_items_that_no_response_could_answer_are_named(declare, item, message):
    task = declare({"q": "z", "a": "b"}, item)
    with pytest.raises(errors.UserError, match=message):
        task.examples("test", 2)


@pytest.mark.parametrize("change, message", [
    (("max_new_tokens = 4", "max_new_tokens = 0"), "'max_new_tokens' is 0, expected a whole number above 0"),
    (('stop = ["\\n"]', 'stop = [""]'), "'stop' is .*, expected a list of texts, none empty"),
    (("extract = '<", "extract = '(<"), "no regular expression"), (("gold", "golden"), "'gold' is missing"),
    (('"Q: {q}?"', "3"), "'prompt' is 3, expected a text"),
])
def test_what_is_no_task_is_named(declare, change, message):
    with pytest.raises(errors.UserError, match=message):
        declare({"q": "a", "a": "b"}, toml=TOML.replace(*change))
