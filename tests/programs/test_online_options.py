"""What makes data programs shorter: each option is in the file, and a reader does what the writer did."""

import pytest

from sah_jax import errors
from sah_jax.coding import file
from sah_jax.programs import base as family_lib
from sah_jax.programs import codec, header, inputs, online, registry
from sah_jax.tasks import base as task_lib
from sah_jax.training import examples as examples_lib

SETTING = {"num_examples": 6, "learning_rate": 3e-3, "max_tokens": 128, "batch_size": 4}


def _fit(base, task, **changes) -> online.OnlineTheta:
    setting = family_lib.parse_setting(online.Online(), SETTING | changes)
    return online.Online().fit(setting, base, task, 0, codec.silent)


def _program(base, task, **changes) -> codec.Program:
    return codec.write(online.Online(), _fit(base, task, **changes), base)


def _bits(program: codec.Program, field: str) -> float:
    return sum(entry.ideal_bits for entry in program.ledger if entry.field == field)


@pytest.fixture(scope="module")
def plain(nano, nano_math):
    return _program(nano, nano_math)


@pytest.mark.parametrize("changes", [
    {"inputs": "generated"}, {"replay": 2}, {"first_block": 1}, {"temperature": 0.8}, {"optimizer": "adamw"},
    {"learner": "full", "learning_rate": 1e-4},
    {"inputs": "generated", "replay": 1, "first_block": 2, "temperature": 1.2, "epochs": 2}], ids=str)
def test_every_option_is_read_back(changes, nano, nano_math, plain):
    program = _program(nano, nano_math, **changes)
    read = codec.read(program.data, nano)
    assert read.adapted.digest() == program.adapted.digest()
    assert program.data != plain.data
    # What only changes how examples are coded leaves the same model.
    same = not changes.keys() - {"inputs", "temperature"}
    assert (program.adapted.digest() == plain.adapted.digest()) == same
    assert read.ledger == program.ledger and not program.adapted.portable
    assert bool(program.adapted.deltas) == (changes.get("learner") == "full")


def test_of_generated_inputs_answers_alone_are_paid_for(nano, nano_math, plain):
    theta = _fit(nano, nano_math, inputs="generated")
    program = codec.write(online.Online(), theta, nano)
    coded = [part for part in program.view("token") if part.token_id is not None]
    # Each answer and its end.
    assert len(coded) == sum(len(example.answer) + 1 for example in theta.examples)
    assert _bits(program, "examples") < 0.7 * _bits(plain, "examples")
    prompts = inputs.generated(nano, "nano_math", 6, 128, 0)
    assert prompts == [example.prompt for example in theta.examples]


def test_only_tasks_with_a_generator_have_generated_inputs(nano):
    class Other:
        name = "other"

    with pytest.raises(errors.UserError, match="other has no seeded generator"):
        _fit(nano, Other(), inputs="generated")


def test_blocks_double_up_to_the_batch_size():
    form = lambda first: online.OnlineForm(
        num_examples=21, learning_rate=1e-3, batch_size=8, first_block=first)
    sizes = lambda first: [size for _, size in online._blocks(form(first))]
    assert sizes(1) == [1, 2, 4, 8, 6] and sizes(0) == [8, 8, 5] and sizes(16) == [8, 8, 5]
    starts = [start for start, _ in online._blocks(form(1))]
    assert starts == [0, 1, 3, 7, 15]


def test_replay_makes_later_examples_cheaper(nano, nano_math):
    cost = [_bits(_program(nano, nano_math, num_examples=16, inputs="generated", replay=replay), "examples")
            for replay in (0, 8)]
    assert cost[1] < cost[0]


class _Seeds:
    """A task whose prompts all begin and end alike, and which a base model can go on with."""

    name = "seeds"
    stop = ("\n",)
    max_new_tokens = 8

    def examples(self, split, num, seed=0):
        return [task_lib.Example(f"Tom has {number} pears. He", f" buys {number} more.", "")
                for number in range(2, 2 + num)]


def test_sampled_inputs_are_the_base_models_own(nano):
    changes = {"inputs": "sampled", "teacher": "nano-chat", "num_examples": 3}
    theta = _fit(nano, _Seeds(), **changes)
    assert nano.decode(theta.head) == "Tom has" and "He".endswith(nano.decode(theta.cue).strip())
    written = {example.prompt for example in _fit(nano, _Seeds(), num_examples=3).examples}
    for example in theta.examples:
        text = nano.decode(example.prompt)
        assert text.startswith("Tom has") and text.endswith(nano.decode(theta.cue))
        assert example.prompt not in written or len(written) > 3
    program = codec.write(online.Online(), theta, nano)
    assert codec.read(program.data, nano).adapted.digest() == program.adapted.digest()
    coded = [part for part in program.view("token") if part.token_id is not None]
    once = len(theta.cue) + len(theta.head)
    assert len(coded) <= once + sum(len(example.answer) + 1 for example in theta.examples)


def test_sampled_inputs_need_a_teacher_and_something_to_begin_with(nano, nano_math):
    with pytest.raises(errors.UserError, match="teacher ''"):
        _fit(nano, nano_math, inputs="sampled")

    class NoHead(_Seeds):
        def examples(self, split, num, seed=0):
            return [task_lib.Example(f"{chr(97 + number)} pears. He", " runs.", "") for number in range(num)]

    with pytest.raises(errors.UserError, match="begin with nothing in common"):
        _fit(nano, NoHead(), inputs="sampled", teacher="nano-chat")


def test_a_claim_of_more_prompts_than_the_model_writes_is_refused(nano):
    form = online.OnlineForm(
        num_examples=4, learning_rate=1e-3, inputs="sampled", max_tokens=24, batch_size=1)
    writer = file.ProgramWriter()
    codec.write_header(writer, registry.names().index("online"), codec.PLAIN)
    header.write(writer, form, 0, nano)
    # It never ends a prompt in this.
    online._write_cue(writer, tuple(nano.encode("#### #### zq")), nano)
    online._write_few(writer, tuple(nano.encode("Tom")), nano)
    with pytest.raises(errors.UserError, match="claims 4 sampled prompts, there are 0"):
        codec.read(writer.close() + b"\x55" * 40, nano)


def test_answers_that_would_not_fit_are_cut(nano):
    prompts = [tuple(nano.encode("Tom has 3 pears. He"))]
    room = 3
    (one,) = inputs.answered(nano, _Seeds(), prompts, "nano", len(prompts[0]) + room)
    assert isinstance(one, examples_lib.TokenExample) and 0 < len(one.answer) <= room
