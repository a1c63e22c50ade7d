"""Fitted states before every sequence: those of a text do what the text would, and the loss is on answers."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import letters
import numpy as np
import pytest
import tiny_model

from sah_jax import errors
from sah_jax.coding import file, scales
from sah_jax.models import base as base_lib
from sah_jax.models import decoder as decoder_lib
from sah_jax.programs import base as family_lib
from sah_jax.programs import codec, header, latents, prefix, quantised
from sah_jax.training import examples as examples_lib
from sah_jax.training import step as step_lib

FAMILIES = (prefix.Prefix(), prefix.SoftPrompt())
BOTH = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
ROUNDING = 1e-4
"""Two float32 evaluations of logits of order 1, whose rotary angles have other offsets, differ by less."""

SLOTS, EXPONENT = 6, -8

_mean_loss = jax.jit(step_lib.mean_loss, static_argnums=0)
_apply = jax.jit(lambda decoder, *arguments: decoder.apply(*arguments), static_argnums=0)

SPECS = {
    "grouped": {},
    "one_group": {"kv_heads": 1, "tied_embedding": True, "qk_norm": "head", "biases": ("q", "k", "v")},
    "norm_after": {"norm_after": True, "qk_norm": "width"},
}


def _with_spec(base, **changes):
    """The tiny model with another architecture and random weights."""
    spec = dataclasses.replace(base.spec, **changes)
    return dataclasses.replace(
        base, spec=spec, decoder=decoder_lib.Decoder(spec), params=tiny_model.random_params(spec))


def _theta(family, base, start="text", slots=SLOTS, seed=0, top=0):
    """θ of random integers, none of which is above `top`."""
    form, rng = prefix.PrefixForm(slots=slots, start=start), np.random.default_rng(seed)
    symbols = {name: rng.integers(-top, top + 1, shape).astype(np.int32)
               for name, shape in family.shapes(form, base.decoder).items()}
    text = tuple(base.encode(letters.Letters.written_prompt)[:slots]) if start == "text" else ()
    return quantised.Theta(form, seed, latents.Latents(symbols, dict.fromkeys(symbols, EXPONENT)), text)


def _variables(family, base, **changes):
    return family._adapted(_theta(family, base, **changes), base).variables(base)


def _rows(base, rows=2, length=9, seed=1):
    tokens = np.random.default_rng(seed).integers(1, base.spec.vocab_size, (rows, length), np.int32)
    tokens[:, 0] = base.spec.start_token
    return tokens


@pytest.mark.parametrize("spec", SPECS)
@BOTH
def test_a_text_of_zeros_does_what_its_tokens_do_before_the_sequence(family, spec, tiny_base):
    base = _with_spec(tiny_base, **SPECS[spec])
    theta, tokens = _theta(family, base), _rows(base)
    apply = functools.partial(_apply, base.decoder)
    found = apply(family._adapted(theta, base).variables(base), tokens)
    text = np.tile(np.int32(theta.extra), (len(tokens), 1))
    whole = apply({"params": base.params}, np.concatenate([text, tokens], axis=1))
    np.testing.assert_allclose(found, whole[:, SLOTS:], rtol=0, atol=ROUNDING)
    # The text does something.
    assert np.abs(found - apply({"params": base.params}, tokens)).max() > 100 * ROUNDING


@BOTH
def test_the_file_holds_the_text_and_gives_the_same_states(family, tiny_base):
    theta = _theta(family, tiny_base, top=20)
    written = codec.write(family, theta, tiny_base)
    read = codec.read(written.data, tiny_base)
    assert read.adapted.digest() == written.adapted.digest()
    fields = {entry.field: entry.ideal_bits for entry in written.ledger}
    rows = np.array([tiny_base.spec.start_token, *theta.extra])
    logits = _apply(tiny_base.decoder, {"params": tiny_base.params}, rows[None, :-1])[0]
    nats = -jax.nn.log_softmax(logits)[np.arange(SLOTS), rows[1:]].sum()
    assert fields["text"] == pytest.approx(float(nats) / np.log(2), rel=1e-4)
    assert not read.adapted.unchanged and not read.adapted.portable and not read.adapted.context
    random = codec.write(family, _theta(family, tiny_base, start="random", top=20), tiny_base)
    assert "text" not in {entry.field for entry in random.ledger}
    # Random states of attention are integers; random embeddings go through the model.
    assert random.adapted.portable == (family.name == "prefix")


def test_a_prefix_is_its_start_plus_steps_of_its_integers(tiny_base):
    family, theta = FAMILIES[0], _theta(FAMILIES[0], tiny_base, top=50)
    start = family._adapted(_theta(family, tiny_base), tiny_base).program["layers"]["attention"]
    found = family._adapted(theta, tiny_base).program["layers"]["attention"]
    for name, states in found.items():
        added = np.float32(theta.latents.symbols[f"attention/{name}"]) * scales.step(EXPONENT)
        np.testing.assert_array_equal(np.asarray(states), np.asarray(start[name]) + added)


def test_a_soft_prompt_is_embeddings_plus_steps_of_its_integers(tiny_base):
    family, theta = FAMILIES[1], _theta(FAMILIES[1], tiny_base, top=50)
    added = theta.latents.symbols["soft_prompt"] * scales.step(EXPONENT)
    # The same embeddings as rows of a larger table, named by tokens.
    spec = dataclasses.replace(tiny_base.spec, vocab_size=tiny_base.spec.vocab_size + SLOTS)
    rows = tiny_base.params["embed"][np.array(theta.extra)] + added
    params = {**tiny_base.params, "embed": jnp.concatenate([tiny_base.params["embed"], rows]),
              "head": jnp.pad(tiny_base.params["head"], ((0, 0), (0, SLOTS)))}
    tokens = _rows(tiny_base)
    slots = np.tile(np.arange(SLOTS) + tiny_base.spec.vocab_size, (len(tokens), 1))
    whole = _apply(decoder_lib.Decoder(spec), {"params": params}, np.concatenate([slots, tokens], axis=1))
    found = _apply(tiny_base.decoder, family._adapted(theta, tiny_base).variables(tiny_base), tokens)
    np.testing.assert_allclose(found, whole[:, SLOTS:, : -SLOTS], rtol=0, atol=ROUNDING)


@BOTH
def test_random_starts_hang_on_the_seed_alone(family, tiny_base):
    form = prefix.PrefixForm(slots=SLOTS)
    first, again, other = (family.knobs(form, seed, tiny_base) for seed in (3, 3, 4))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    if family.name == "prefix":
        assert set(np.unique(first["prefix_k"])) == {-1, 1} and not np.any(first["prefix_v"])
        assert np.mean(first["prefix_k"] == other["prefix_k"]) < 0.7
    else:
        embed = np.asarray(tiny_base.params["embed"])
        assert all(np.any(np.all(embed == row, axis=1)) for row in np.asarray(first))
        assert not np.array_equal(first, other)


@BOTH
def test_rows_of_a_padded_batch_give_the_logits_they_have_alone(family, tiny_base):
    variables, apply = _variables(family, tiny_base, top=20), functools.partial(_apply, tiny_base.decoder)
    tokens, lengths = _rows(tiny_base, rows=3, length=10), (10, 4, 7)
    padded = np.where(np.arange(10) < np.array(lengths)[:, None], tokens, 0)
    together = np.asarray(apply(variables, padded))
    for row, length in enumerate(lengths):
        alone = np.asarray(apply(variables, tokens[row : row + 1, :length]))
        np.testing.assert_allclose(together[row, :length], alone[0], rtol=0, atol=1e-5)


@BOTH
def test_steps_with_a_cache_give_the_logits_of_the_whole_row(family, tiny_base):
    variables, tokens = _variables(family, tiny_base, top=20), _rows(tiny_base)
    whole = _apply(tiny_base.decoder, variables, tokens)
    step = jax.jit(base_lib.cached_step(tiny_base.decoder))
    # More slots than positions, filled with what nobody may look at.
    cache = jax.tree.map(
        lambda leaf: leaf + 1e3, decoder_lib.init_cache(tiny_base.spec, len(tokens), 14, jnp.float32))
    for position in range(tokens.shape[1]):
        cache, logits = step(variables, cache, tokens[:, position], position)
        np.testing.assert_allclose(logits, whole[:, position], rtol=0, atol=2e-5)


EXAMPLES = (
    examples_lib.TokenExample((5, 6, 7, 8), (9, 10, 11)),
    examples_lib.TokenExample((12, 13), (14,)),
)
ROW = 10  # tokens of a batch's row, longer than the examples with their ends


def _loss(base, variables, batch):
    return float(_mean_loss(base.decoder, variables, batch))


@BOTH
def test_the_loss_is_that_of_answers_and_ends_after_the_prefix(family, tiny_base):
    variables, total, count = _variables(family, tiny_base, top=20), 0.0, 0
    for one in EXAMPLES:
        row = np.array([0, *one.prompt, *one.answer, tiny_base.spec.end_tokens[0]])
        logs = jax.nn.log_softmax(_apply(tiny_base.decoder, variables, row[None, :-1])[0])
        for place in range(1 + len(one.prompt), len(row)):
            total, count = total - float(logs[place - 1, row[place]]), count + 1
    batch = examples_lib.batch_of(tiny_base, EXAMPLES, 3, ROW)
    assert count == 4 + 2 == batch.weights_BL.sum()
    assert _loss(tiny_base, variables, batch) == pytest.approx(total / count, rel=1e-5)


@BOTH
def test_tokens_after_the_end_do_not_change_a_bit_of_the_loss(family, tiny_base):
    variables = _variables(family, tiny_base, top=20)
    batch = examples_lib.batch_of(tiny_base, EXAMPLES, 3, ROW)
    loss_of = functools.partial(_loss, tiny_base, variables)
    ends = [1 + len(one.prompt) + len(one.answer) for one in EXAMPLES]
    after = np.arange(1 + ROW) > np.array([*ends, 0])[:, None]
    noise = np.random.default_rng(0).integers(1, tiny_base.spec.vocab_size, after.shape, np.int32)
    other = batch._replace(tokens_BL=np.where(after, noise, batch.tokens_BL))
    assert loss_of(other) == loss_of(batch)
    # The end itself counts.
    ended = batch.tokens_BL.copy()
    ended[0, ends[0]] = 3
    assert loss_of(batch._replace(tokens_BL=ended)) != loss_of(batch)


@BOTH
def test_a_prompt_counts_only_through_what_its_answer_sees(family, tiny_base):
    # Where a token sees itself and the prefix alone, the prompt's last token is all that an answer sees.
    base = _with_spec(tiny_base, windows=(1,) * tiny_base.spec.layers)
    variables = _variables(family, base, top=20)
    batch = examples_lib.batch_of(base, EXAMPLES, 3, ROW)

    def with_prompt(model, place):
        tokens = batch.tokens_BL.copy()
        tokens[0, place] = 30
        return _loss(model, variables, batch._replace(tokens_BL=tokens))

    plain, last = _loss(base, variables, batch), len(EXAMPLES[0].prompt)
    assert all(with_prompt(base, place) == plain for place in range(1, last))
    assert with_prompt(base, last) != plain
    # Where an answer sees the whole prompt, all of it counts.
    seen = _with_spec(tiny_base)
    assert all(with_prompt(seen, place) != plain for place in range(1, last))


@BOTH
def test_the_file_gives_the_model_that_was_trained(family, tiny_base):
    task, told = letters.Letters(), []
    setting = family_lib.parse_setting(family, {
        "slots": SLOTS, "start": "text", "learning_rate": 0.05, "num_examples": 8, "epochs": 25,
        "max_tokens": 16})
    theta = family.fit(setting, tiny_base, task, 0, told.append)
    assert theta.extra == tuple(tiny_base.encode(task.written_prompt)[:SLOTS])
    adapted = codec.read(codec.write(family, theta, tiny_base).data, tiny_base).adapted
    batch = examples_lib.batch_of(
        tiny_base, examples_lib.first_fitting(tiny_base, task, 8, 16, 0), 8, 16)
    after, before = (_loss(tiny_base, one.variables(tiny_base), batch)
                     for one in (adapted, family_lib.Adapted({})))
    trained = float(told[-1].split("loss ")[1].split()[0])
    # The last report is a mean over the last steps; the file's model is the one after them.
    assert after < 1.1 * trained and trained < 0.9 * before


@BOTH
@pytest.mark.parametrize("changes, message", [
    ({"slots": 200}, "has 200 slots, the written prompt of letters has 46 tokens; set slots to at"),
    ({"slots": 0}, "slots is 0"), ({"slots": 1025}, "slots is 1025, expected 1 to 1024"),
    ({"slots": 257, "start": "random"}, "has 257 slots, expected at most the model's 256 positions"),
    ({"start": "prompt"}, "start is prompt, expected one of random, text")])
def test_impossible_settings_are_refused(family, changes, message, tiny_base):
    given = {"slots": 2, "start": "text", "learning_rate": 0.1, "num_examples": 2, "max_tokens": 16}
    with pytest.raises(errors.UserError, match=message):
        setting = family_lib.parse_setting(family, given | changes)
        family.fit(setting, tiny_base, letters.Letters(), 0, codec.silent)


@BOTH
@pytest.mark.parametrize("start", prefix.STARTS)
def test_a_file_that_claims_more_slots_than_the_model_has_positions_is_refused(family, start, tiny_base):
    writer = file.ProgramWriter()
    header.write(writer, prefix.PrefixForm(slots=257, start=start), 0, tiny_base)
    with pytest.raises(errors.UserError, match="claims 257 slots, the model has 256 positions"):
        family.read(file.ProgramReader(writer.close()), tiny_base, codec.silent)
