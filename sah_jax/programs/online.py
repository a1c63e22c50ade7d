"""`online`: a subset of the training data, coded by the model that learns from it as it is read.

Prequential coding (Dawid 1984; Blier & Ollivier 2018): a block costs what it costs the model
that has been trained on the blocks before it. The reader decodes a block, trains on it,
decodes the next, and ends with the writer's weights, bit for bit; later epochs go over
the same examples and cost nothing. By default, as in the paper, whole examples are coded, the
loss is on answers, and a low-rank adapter learns (rank 8, alpha 8, Adam).

Options that make it shorter: inputs that the reader generates itself, so that answers alone are
paid for; replay of earlier examples between blocks (Bornschein et al. 2022); small first blocks; a
temperature of the coding distribution.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from sah_jax import errors
from sah_jax.coding import file, integers, tokens
from sah_jax.models import base as base_lib
from sah_jax.programs import base as family_lib
from sah_jax.programs import header, lowrank
from sah_jax.programs import inputs as inputs_lib
from sah_jax.programs import learner as learner_lib
from sah_jax.training import examples as examples_lib

_BATCH_SIZES = (1, 2, 4, 8, 16, 32)
_EPOCHS = range(1, 9)
_REPLAYS = range(17)
_MAX_CUE = 16

# An example costs at least so much, or it is not worth coding; and a bit of the file pays for at most so
# many passes over an example, replay and later epochs included. This is what keeps a few bytes from making a
# reader work for hours.
_LEAST_EXAMPLE_BITS = 1
_MOST_PASSES = 8
# The writer's total must hold; while a reader is on its way, some answers may be cheaper than others.
_SLACK_BITS = 1024

# Where an answer begins in a coded sequence: after the first place where the cue stands (the
# tokens that end every prompt, coded once), or at a position coded with each example.
_BOUNDARIES = ("cue", "position")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OnlineForm:
    """What the file says first.

    num_examples: are coded.
    epochs: passes that are trained, the first of them while coding.
    learner: one of `learner_lib.LEARNERS`; rank and alpha are of low-rank pairs.
    inputs: one of `inputs_lib.SOURCES`: where prompts come from.
    replay: steps on earlier examples after each block.
    first_block: examples of the first block; each next one has twice as many, up to the batch size. 0 for
      full blocks from the first on.
    temperature: what logits are divided by for coding.
    """

    num_examples: int = header.coded(header.Count(1, (1 << 32) - 1))
    learning_rate: float = header.coded(header.Decimal())
    epochs: int = header.coded(header.Choice(_EPOCHS), default=1)
    learner: str = header.coded(header.Choice(learner_lib.LEARNERS), default="lora")
    rank: int = header.coded(header.Choice(lowrank.RANKS), default=8)
    alpha: int = header.coded(header.Count(1, lowrank.MAX_ALPHA), default=8)
    optimizer: str = header.coded(header.Choice(tuple(learner_lib.WEIGHT_DECAYS)), default="adam")
    batch_size: int = header.coded(header.Choice(_BATCH_SIZES), default=8)
    max_tokens: int = header.coded(header.Count(1, (1 << 16) - 1), default=128)
    inputs: str = header.coded(header.Choice(inputs_lib.SOURCES), default="coded")
    replay: int = header.coded(header.Choice(_REPLAYS), default=0)
    first_block: int = header.coded(header.Choice((0, *_BATCH_SIZES)), default=0)
    temperature: float = header.coded(header.Decimal(), default=1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OnlineSetting(OnlineForm):
    """teacher: the model that answers sampled prompts, which only the writer needs; "" for none."""

    teacher: str = header.fitting(header.Anything(), default="")


@dataclasses.dataclass(frozen=True)
class OnlineTheta:
    """What is coded.

    Attributes:
      cue: the tokens that end every prompt; empty where positions are coded or prompts are generated.
      task: the name of the task that generates the prompts; "" where none does.
      head: the tokens that prompts begin with, where they are sampled.
      examples: in the order they are coded and trained on.
    """

    form: OnlineForm
    seed: int
    cue: tuple[int, ...]
    task: str
    examples: tuple[examples_lib.TokenExample, ...]
    head: tuple[int, ...] = ()


class Online:
    """Prequentially coded training data."""

    name = "online"
    reads_examples = True
    Setting = OnlineSetting

    def fit(self, setting, base, task, seed, report, checkpoints=None) -> OnlineTheta:
        """See `Family.fit`."""
        header.check(self.name, setting, seed)
        form, most = header.part(setting, OnlineForm), setting.max_tokens
        if most > base.spec.max_positions:
            raise errors.UserError(
                f"online's setting max_tokens is {most}, expected at most the model's "
                f"{base.spec.max_positions} positions; correct the config.")
        if setting.inputs == "generated":
            examples = inputs_lib.labelled(base, task, setting.num_examples, most, seed)
            return OnlineTheta(form, seed, (), task.name, tuple(examples))
        examples = examples_lib.first_fitting(base, task, setting.num_examples, most, seed)
        cue, head = _shared_cue(examples), ()
        if setting.inputs == "sampled":
            if not cue or not setting.teacher:
                raise errors.UserError(
                    f"online samples inputs with the teacher {setting.teacher!r} and prompts of {task.name} "
                    f"that end in {base.decode(cue)!r}, expected a model and words that end every prompt; "
                    "set them, or inputs to coded.")
            head = inputs_lib.shared_head(base, task, seed, _MAX_CUE)
            prompts = inputs_lib.sampled(base, head, cue, setting.num_examples, most, seed)
            if len(prompts) < setting.num_examples:
                raise errors.UserError(
                    f"{base.name} wrote {len(prompts)} prompts of {task.name}, expected "
                    f"{setting.num_examples}; code fewer examples.")
            examples = inputs_lib.answered(base, task, prompts, setting.teacher, most)
        return OnlineTheta(form, seed, cue, "", tuple(examples), head)

    def write(self, theta, writer, base, report) -> family_lib.Adapted:
        """See `Family.write`."""
        return write_examples(self.name, theta, writer, base, report).adapted()

    def read(self, reader, base, report) -> family_lib.Adapted:
        """See `Family.read`."""
        return read_examples(self.name, OnlineForm, reader, base, report)[1].adapted()

    def accounts(self, setting, theta, base) -> family_lib.Accounts:
        """See `Family.accounts`: the reader trains as the writer did."""
        flops = replay_flops(theta, base)
        return family_lib.Accounts(train_flops=flops, decode_flops=flops)


def replay_flops(theta: OnlineTheta, base: base_lib.BaseModel) -> int:
    """Returns the operations of decoding the examples and of training on them."""
    form = theta.form
    steps = sum(1 + form.replay for _ in _blocks(form))
    steps += (form.epochs - 1) * -(-form.num_examples // form.batch_size)
    forward = family_lib.forward_flops(base, {}, form.max_tokens) * form.num_examples
    return steps * make_learner(form, theta.seed, base).step_flops() + forward


def make_learner(form: OnlineForm, seed: int, base: base_lib.BaseModel) -> learner_lib.Learner:
    """Returns what learns, before it has seen an example."""
    return learner_lib.Learner(
        base, form.learner, form.rank, form.alpha / form.rank, form.batch_size, form.max_tokens,
        form.learning_rate, form.optimizer, seed)


def write_examples(
    name: str, theta: OnlineTheta, writer: file.ProgramWriter, base: base_lib.BaseModel,
    report: family_lib.Report,
) -> learner_lib.Learner:
    """Codes header and examples, and trains on them; returns what learned.

    Args:
      name: of the family, for fields and errors.
      theta: what to code.
      writer, base, report: see `Family.write`.

    Raises:
      UserError: the examples cost next to nothing, or training diverged.
    """
    form, before = theta.form, writer.ledger.ideal_bits
    with writer.field(f"{name} settings"):
        header.write(writer, form, theta.seed, base)
    if form.inputs == "generated":
        with writer.field("task"):
            inputs_lib.write_task(writer, theta.task)
    else:
        _write_cue(writer, theta.cue, base)
    if form.inputs == "sampled":
        with writer.field("prompt head"):
            _write_few(writer, theta.head, base)
    learning = make_learner(form, theta.seed, base)
    for number, (first, size) in enumerate(_blocks(form)):
        block = theta.examples[first : first + size]
        with writer.field("examples"):
            known = [len(example.prompt) for example in block] if form.inputs != "coded" else ()
            tokens.write_rows(
                writer, _rows(form, learning, base), [[*one.prompt, *one.answer] for one in block],
                [form.max_tokens] * size, tokens.numbered(first), known)
        with writer.field("answer positions"):
            for example in block if form.inputs == "coded" and not theta.cue else ():
                integers.write_count(writer, len(example.prompt))
        _train(form, theta.seed, learning, theta.examples[: first + size], size, number)
        report(f"{first + size}/{form.num_examples} examples coded and trained on")
        learning.tell(report)
    cost = writer.ledger.ideal_bits - before
    if cost < _LEAST_EXAMPLE_BITS * form.num_examples or _MOST_PASSES * cost < _passes(form):
        raise errors.UserError(
            f"{name}'s {form.num_examples} examples cost {cost:.0f} bits for {_passes(form)} passes over "
            f"one, expected at least {_LEAST_EXAMPLE_BITS} bit each and one for {_MOST_PASSES} passes; code "
            "longer examples, or replay less.")
    _finish(name, form, theta.seed, learning, theta.examples, report)
    return learning


def read_examples(
    name: str, form_type: type[OnlineForm], reader: file.ProgramReader, base: base_lib.BaseModel,
    report: family_lib.Report,
) -> tuple[OnlineTheta, learner_lib.Learner]:
    """Reads what `write_examples` wrote.

    Args:
      name, reader, base, report: as there.
      form_type: the dataclass of the header.

    Raises:
      UserError: the file cannot be one that it wrote.
    """
    before = reader.ledger.ideal_bits
    with reader.field(f"{name} settings"):
        form, seed = header.read(reader, form_type, base)
    if form.num_examples * _LEAST_EXAMPLE_BITS > 8 * reader.size:
        raise reader.invalid(
            f"it claims {form.num_examples} examples, at most {8 * reader.size // _LEAST_EXAMPLE_BITS} are "
            "possible")
    if _passes(form) > _MOST_PASSES * 8 * reader.size:
        raise reader.invalid(
            f"it claims {_passes(form)} passes over an example, at most {_MOST_PASSES * 8 * reader.size} are "
            "possible")
    if form.max_tokens > base.spec.max_positions:
        raise reader.invalid(
            f"it claims {form.max_tokens} tokens an example, at most {base.spec.max_positions} are possible")
    cue, task, prompts, head = (), "", None, ()
    if form.inputs == "generated":
        with reader.field("task"):
            task = inputs_lib.read_task(reader)
        prompts = inputs_lib.Growing(
            lambda count: inputs_lib.generated(base, task, count, form.max_tokens, seed), form.num_examples)
    else:
        cue = _read_cue(reader, base)
    if form.inputs == "sampled":
        with reader.field("prompt head"):
            head = _read_few(reader, base)
        prompts = inputs_lib.Growing(
            lambda count: inputs_lib.sampled(base, head, cue, count, form.max_tokens, seed),
            form.num_examples)
    learning, examples = make_learner(form, seed, base), []
    for number, (first, size) in enumerate(_blocks(form)):
        known = prompts.some(first, size) if prompts else []
        if prompts and len(known) < size:
            raise reader.invalid(
                f"it claims {form.num_examples} {form.inputs} prompts, there are {first + len(known)}")
        with reader.field("examples"):
            sequences = tokens.read_rows(
                reader, _rows(form, learning, base), [form.max_tokens] * size, tokens.numbered(first), known)
        with reader.field("answer positions"):
            ends = [len(prompt) for prompt in known] or [_boundary(reader, cue, one) for one in sequences]
        examples += [examples_lib.TokenExample(tuple(sequence[:end]), tuple(sequence[end:]))
                     for sequence, end in zip(sequences, ends, strict=True)]
        if reader.ledger.ideal_bits - before < _LEAST_EXAMPLE_BITS * len(examples) - _SLACK_BITS:
            raise reader.invalid(f"its first {len(examples)} examples cost next to nothing")
        _train(form, seed, learning, examples, size, number)
        report(f"{len(examples)}/{form.num_examples} examples decoded and trained on")
    _finish(name, form, seed, learning, examples, report)
    return OnlineTheta(form, seed, cue, task, tuple(examples), head), learning


def train(name: str, theta: OnlineTheta, learning: learner_lib.Learner) -> None:
    """Trains on examples as writer and reader do; raises UserError where that diverges."""
    for number, (first, size) in enumerate(_blocks(theta.form)):
        _train(theta.form, theta.seed, learning, theta.examples[: first + size], size, number)
    _finish(name, theta.form, theta.seed, learning, theta.examples, lambda line: None)


def _passes(form: OnlineForm) -> int:
    """Returns over how many examples the reader trains, each time that it does."""
    # The first blocks may be small: at most so many steps more than full ones take.
    blocks = -(-form.num_examples // form.batch_size) + form.batch_size.bit_length()
    return form.epochs * form.num_examples + form.replay * form.batch_size * blocks


def _blocks(form: OnlineForm) -> Iterator[tuple[int, int]]:
    """Yields where each block begins and how many examples it has."""
    first, size = 0, min(form.first_block or form.batch_size, form.batch_size)
    while first < form.num_examples:
        yield first, min(size, form.num_examples - first)
        first, size = first + size, min(2 * size, form.batch_size)


def _rows(form: OnlineForm, learning: learner_lib.Learner, base: base_lib.BaseModel) -> tokens.Rows:
    """Returns what codes the next block: the model as it is now."""
    return family_lib.language_rows(
        base, learning.adapted(), form.batch_size, form.max_tokens, base.spec.end_tokens[0],
        temperature=form.temperature)


def _train(
    form: OnlineForm, seed: int, learning: learner_lib.Learner, seen: Sequence[examples_lib.TokenExample],
    size: int, number: int,
) -> None:
    """Trains on the last `size` examples seen, and replays earlier ones."""
    learning.train(seen[-size:])
    rng = np.random.default_rng((seed, 0, number))
    for _ in range(form.replay):
        chosen = rng.choice(len(seen), min(form.batch_size, len(seen)), replace=False)
        learning.train([seen[index] for index in chosen])


def _finish(
    name: str, form: OnlineForm, seed: int, learning: learner_lib.Learner,
    examples: Sequence[examples_lib.TokenExample], report: family_lib.Report,
) -> None:
    """Trains the epochs after the first, each in its own seeded order."""
    for epoch in range(1, form.epochs):
        order = np.random.default_rng((seed, epoch)).permutation(len(examples))
        for first in range(0, len(order), form.batch_size):
            learning.train([examples[index] for index in order[first : first + form.batch_size]])
            learning.tell(report)
        report(f"epoch {epoch + 1}/{form.epochs} trained")
    learning.tell(report, least=1)
    learning.check(name)


def _shared_cue(examples: Sequence[examples_lib.TokenExample]) -> tuple[int, ...]:
    """Returns the tokens that end every prompt and stand nowhere before, or ()."""
    first = examples[0].prompt
    for length in range(1, _MAX_CUE + 1):
        cue = first[-length:]
        if all(_find(cue, example.prompt + example.answer) == len(example.prompt) for example in examples):
            return cue
    return ()


def _find(cue: Sequence[int], sequence: Sequence[int]) -> int:
    """Returns the position after the first place where the cue stands, or 0."""
    ends = range(len(cue), len(sequence) + 1)
    return next((end for end in ends if tuple(sequence[end - len(cue) : end]) == tuple(cue)), 0)


def _boundary(reader: file.ProgramReader, cue: tuple[int, ...], sequence: list[int]) -> int:
    if not cue:
        return integers.read_count(reader, "prompt tokens", len(sequence))
    return _find(cue, sequence)


def _few_rows(base: base_lib.BaseModel) -> tokens.Rows:
    return family_lib.language_rows(base, family_lib.Adapted({}), 1, _MAX_CUE, tokens.NO_END)


def _write_cue(writer: file.ProgramWriter, cue: tuple[int, ...], base: base_lib.BaseModel) -> None:
    with writer.field("answer cue"):
        integers.write_choice(writer, _BOUNDARIES, "cue" if cue else "position")
        if cue:
            _write_few(writer, cue, base)


def _read_cue(reader: file.ProgramReader, base: base_lib.BaseModel) -> tuple[int, ...]:
    with reader.field("answer cue"):
        if integers.read_choice(reader, _BOUNDARIES) == "position":
            return ()
        return _read_few(reader, base)


def _write_few(writer: file.ProgramWriter, few: tuple[int, ...], base: base_lib.BaseModel) -> None:
    """Codes at most `_MAX_CUE` tokens, with their number."""
    integers.write_choice(writer, range(1, _MAX_CUE + 1), len(few))
    tokens.write_rows(writer, _few_rows(base), [few], [len(few)])


def _read_few(reader: file.ProgramReader, base: base_lib.BaseModel) -> tuple[int, ...]:
    length = integers.read_choice(reader, range(1, _MAX_CUE + 1))
    return tuple(tokens.read_rows(reader, _few_rows(base), [length])[0])
