"""The families that are a text before every prompt."""

import math

import pytest

from sah_jax import errors
from sah_jax.programs import base as family_lib
from sah_jax.programs import codec, icl, prompt, urial


def _icl(base, task, num_examples, seed=0):
    setting = family_lib.parse_setting(icl.Icl(), {"num_examples": num_examples})
    return icl.Icl().fit(setting, base, task, seed, codec.silent)


def test_urial_is_the_written_prompt(nano, nano_math):
    theta = urial.Urial().fit(prompt.NoSetting(), nano, nano_math, 0, codec.silent)
    program = codec.write(urial.Urial(), theta, nano)
    assert nano.decode(codec.read(program.data, nano).adapted.context) == nano_math.written_prompt


def test_contexts_grow_by_one_example(nano, nano_math):
    one, two = (_icl(nano, nano_math, number) for number in (1, 2))
    assert two[: len(one)] == one and len(two) > len(one)
    examples = nano_math.examples("train", 2)
    assert nano.decode(two) == "".join(f"{e.prompt}{e.answer}\n\n" for e in examples)


def test_seed_chooses_the_examples(nano, nano_math):
    assert _icl(nano, nano_math, 2, seed=1) != _icl(nano, nano_math, 2, seed=2)


def test_contexts_that_leave_no_room_are_refused(nano, nano_math):
    with pytest.raises(errors.UserError, match=r"num_examples is 40, \d fit"):
        _icl(nano, nano_math, 40)


def test_better_models_make_shorter_prompts(nano, step0, nano_math):
    bits = {
        base.name: codec.write(urial.Urial(), base.encode(nano_math.written_prompt), base).bits
        for base in (nano, step0)}
    assert bits["nano"] < bits["nano-step0"]


def test_shorter_of_the_two_ends_is_taken(nano):
    # The end token is likely after a finished text and unlikely in the middle of a word; a
    # count costs the same for both.
    for text in ("7 + 5 = 12. ", "Tom has 12 app"):
        theta = nano.encode(text)
        ideal = {}
        for end in ("end_token", "count"):
            from sah_jax.coding import file
            writer = file.ProgramWriter()
            prompt._write_tokens(writer, theta, nano, end)
            ideal[end] = writer.ledger.ideal_bits
        chosen = codec.write(urial.Urial(), theta, nano).ideal_bits
        assert chosen == pytest.approx(min(ideal.values()) + 8 + math.log2(16 / 15))
