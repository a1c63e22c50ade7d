"""B-LoRA: gates, regulariser, rates and count are the paper's, and the file holds what was fitted.

What is expected is computed here from the paper's formulas, in numbers or in numpy.
"""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sah_jax import errors
from sah_jax.programs import base as family_lib
from sah_jax.programs import bayesian_bits, codec, latents
from sah_jax.tasks import base as task_lib
from sah_jax.training import step as step_lib
from sah_jax.training import tuned

FAMILY = bayesian_bits.BayesianBits()
# Of the tiny model: inputs and outputs of each projection, no two of them alike but k and v, gate and up.
SIZES = {"attention/q": (32, 40), "attention/k": (32, 20), "attention/v": (32, 20), "attention/o": (40, 32),
         "ffn/gate": (32, 56), "ffn/up": (32, 56), "ffn/down": (56, 32)}
LAYERS = 3
# β ln 11: what a logit gains in the probability of an open gate, with β 2/3 and a stretch of 1.1 and -0.1.
SHIFT = 2 / 3 * math.log(11)
WIDTHS = (2, 4, 8, 16, 32)
OPEN, SHUT = 30.0, -3.0


class Letters:
    """A letter, to be said again twice."""

    name = "letters"

    def examples(self, split, num, seed=0):
        words = ["".join(pair) for pair in np.random.default_rng(seed).choice(list("abcdefgh"), (num, 2))]
        return tuple(task_lib.Example(word + ".", 2 * word[1], "") for word in words)


def _setting(**changes) -> bayesian_bits.BayesianBitsSetting:
    return family_lib.parse_setting(FAMILY, {
        "num_examples": 48, "epochs": 2, "batch_size": 4, "max_tokens": 8, "rank": 2, **changes})


def _fit(base, seed=0, **changes) -> bayesian_bits.Theta:
    return FAMILY.fit(_setting(**changes), base, Letters(), seed, codec.silent)


def _start(base, rank, seed=0) -> dict:
    """What a fit begins with, in numpy."""
    step = tuned.make_step(bayesian_bits._problem(base.decoder, rank), _setting().batch_size)
    return jax.tree.map(np.array, step.start(bayesian_bits._knobs(_setting(rank=rank), seed)).theta)


def _tree(rank, names=tuple(SIZES)) -> dict:
    """What a fit could end with: random factors, steps that a file can have, and all gates open."""
    rng, factors = np.random.default_rng(rank), {}
    for name in names:
        shapes = {"a": (SIZES[name][0], rank), "b": (rank, SIZES[name][1]), "e": (rank,)}
        factors[name] = {factor: rng.normal(size=(LAYERS, *shape)).astype(np.float32) * np.float32(0.02)
                         for factor, shape in shapes.items() if rank > 1 or factor != "e"}
    step = lambda x: latents.to_bfloat16([0.5 * np.abs(layer).max() for layer in x])
    return {"factors": factors, "steps": jax.tree.map(step, factors),
            "logits": jax.tree.map(lambda x: np.full((LAYERS, 4), OPEN), factors),
            "rank_logits": {name: np.full((LAYERS, rank - 1), OPEN) for name in names if rank > 1}}


def _with_widths(tree, width_of) -> dict:
    """A tree whose gates are open as far as `width_of(name, factor, layer)` says."""
    for name, own in tree["logits"].items():
        for factor, logits in own.items():
            for layer, row in enumerate(logits):
                row[:] = np.where(np.array(WIDTHS[:-1]) < width_of(name, factor, layer), OPEN, SHUT)
    return tree


def _mixed(name, factor, layer) -> int:
    return WIDTHS[(len(name) + 2 * ord(factor) + layer) % 5]


def _frozen(tree, rank) -> bayesian_bits.Theta:
    return bayesian_bits.freeze(bayesian_bits.BayesianBitsForm(rank=rank), 0, tree)


def _sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def test_gates_are_open_where_a_zero_is_unlikely():
    # σ(β ln(0.1 / 1.1) - γ) < 0.34.
    logits = np.linspace(-4, 4, 161)
    np.testing.assert_array_equal(bayesian_bits.is_open(logits), _sigmoid(-SHIFT - logits) < 0.34)
    threshold = -SHIFT - math.log(0.34 / 0.66)
    assert math.isclose(threshold, -0.9353, abs_tol=1e-4)
    assert bayesian_bits.is_open(np.array([threshold - 1e-4, threshold + 1e-4])).tolist() == [False, True]
    np.testing.assert_allclose(bayesian_bits.open_probability(logits), _sigmoid(logits + 1.5986), atol=1e-5)


@pytest.mark.parametrize("logit", [-1.9, -0.9353, 0.0, 1.5])
def test_samples_are_hard_concrete(logit):
    count = 40000
    samples = np.asarray(bayesian_bits.gate_sample(jnp.full(count, logit), jax.random.key(1)))
    assert samples.min() >= 0 and samples.max() <= 1
    near = lambda share, expected: abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / count)
    assert near(np.mean(samples == 0), 1 - float(bayesian_bits.open_probability(jnp.float32(logit))))
    assert near(np.mean(samples == 0), 1 - _sigmoid(logit + SHIFT))
    assert near(np.mean(samples == 1), _sigmoid(logit - SHIFT))
    # Stretched, x was (x + 0.1) / 1.2; of the uniform variable that is σ(β times its logit - γ).
    for x in (0.1, 0.25, 0.5, 0.9):
        inner = (x + 0.1) / 1.2
        assert near(np.mean(samples <= x), _sigmoid(2 / 3 * math.log(inner / (1 - inner)) - logit))


def test_gates_are_drawn_apart():
    samples = np.asarray(bayesian_bits.gate_sample(jnp.zeros((3, 4)), jax.random.key(0)))
    assert len(np.unique(samples[(samples > 0) & (samples < 1)])) > 5


def test_gates_that_are_as_good_as_shut_are_left_alone_by_the_task():
    draw = lambda logits: jnp.sum(bayesian_bits.gate_sample(logits, jax.random.key(2)))
    shut, ajar = jnp.linspace(-9.0, -2.0, 2000), jnp.full(2000, -1.99)
    assert draw(shut) == 0 < draw(ajar)
    assert not np.any(jax.grad(draw)(shut))
    by_ajar = np.asarray(jax.grad(draw)(ajar))
    assert np.any(by_ajar > 0) and np.all(by_ajar >= 0)
    # The regulariser still has them close.
    total = lambda logits: jnp.sum(bayesian_bits.width_penalty(logits.reshape(-1, 4)))
    assert np.all(jax.grad(total)(shut) > 0)


def test_widths_are_what_the_gates_say():
    gates = np.array(list(itertools.product([0, 1], repeat=4)))
    expected = [2 ** (1 + g4 + g4 * (g8 + g8 * (g16 + g16 * g32))) for g4, g8, g16, g32 in gates]
    assert bayesian_bits.width_of(gates).tolist() == expected
    assert set(expected) == set(WIDTHS)


def test_the_regulariser_is_the_papers():
    logits = np.random.default_rng(0).normal(size=(5, 4)) * 2
    expected = [q4 + q4 * q8 + q4 * q8 * q16 + q4 * q8 * q16 * q32
                for q4, q8, q16, q32 in _sigmoid(logits + SHIFT)]
    np.testing.assert_allclose(bayesian_bits.width_penalty(jnp.asarray(logits)), expected, rtol=1e-5)


def test_the_penalty_is_of_every_tensor_and_of_a_rank_as_often_as_it_is_open(tiny_base):
    rng = np.random.default_rng(1)
    moment = tuned.Moment(jnp.float32(0), jax.random.key(0))
    for rank in (1, 2):
        tree = _tree(rank)
        tree["logits"] = jax.tree.map(lambda x: rng.normal(size=x.shape) - 1, tree["logits"])
        tree["rank_logits"] = jax.tree.map(lambda x: rng.normal(size=x.shape) - 1, tree["rank_logits"])
        expected = 0.0
        for name, own in tree["logits"].items():
            open_ranks = _sigmoid(tree["rank_logits"][name][:, 0] + SHIFT) if rank > 1 else np.ones(LAYERS)
            expected += 0.3 * np.sum(open_ranks) * (rank > 1)
            for factor, logits in own.items():
                q = _sigmoid(logits + SHIFT)
                terms = q[:, 0] * (1 + q[:, 1] * (1 + q[:, 2] * (1 + q[:, 3])))
                # Ranks are pruned in e alone.
                expected += 0.05 * np.sum((open_ranks if factor == "e" else 1) * terms)
        setting = _setting(rank=rank, rank_weight=0.3, width_weight=0.05)
        penalty = bayesian_bits._problem(tiny_base.decoder, rank).penalty
        found = penalty(tree, bayesian_bits._knobs(setting, 0), moment)
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_papers_count_has_in_and_out_the_wrong_way_round(tiny_base):
    tree = _with_widths(_tree(2), _mixed)
    for name, logits in tree["rank_logits"].items():
        logits[:, 0] = [OPEN if (len(name) + layer) % 2 else SHUT for layer in range(LAYERS)]
    theta, expected = _frozen(tree, 2), 0
    for name, (inputs, outputs) in SIZES.items():
        for layer in range(LAYERS):
            rank = 1 + (len(name) + layer) % 2
            sizes = {"a": outputs, "b": inputs, "e": 1}
            expected += sum(size * rank * _mixed(name, factor, layer) for factor, size in sizes.items())
    assert bayesian_bits.reference_bits(theta, tiny_base.decoder) == expected
    counted = sum(tensor.symbols[layer].size // 2 * theta.ranks[name.rpartition("/")[0]][layer] * width
                  for name, tensor in theta.tensors.items() for layer, width in enumerate(tensor.widths))
    assert counted != expected


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("rank", [1, 2])
def test_the_papers_count_is_sizes_by_rank_by_width_where_widths_agree(rank, width, tiny_base):
    theta = _frozen(_with_widths(_tree(rank), lambda *place: width), rank)
    per_rank = sum(inputs + outputs + (rank > 1) for inputs, outputs in SIZES.values())
    found = bayesian_bits.reference_bits(theta, tiny_base.decoder)
    assert found == LAYERS * rank * width * per_rank
    # The file has as many numbers, and what the paper leaves out: steps, widths, ranks and a header.
    tensors = LAYERS * len(theta.tensors)
    bits = codec.write(FAMILY, theta, tiny_base).bits
    assert 0.7 * found < bits < found + tensors * (16 + 3 + math.log2(6)) + LAYERS * len(SIZES) + 40


def test_the_start_is_the_papers(tiny_base):
    one = _start(tiny_base, 1)
    for name, (inputs, outputs) in SIZES.items():
        a, b = one["factors"][name]["a"], one["factors"][name]["b"]
        assert a.shape == (LAYERS, inputs, 1) and b.shape == (LAYERS, 1, outputs)
        # Uniform: of some hundred numbers the largest is near the bound.
        bound = inputs**-0.5
        assert 0.9 * bound < np.abs(a).max() <= bound
        assert math.isclose(a.std(), bound / 3**0.5, rel_tol=0.2)
    normal = lambda arrays: np.concatenate([np.ravel(x) for x in arrays]) / 0.02
    two = _start(tiny_base, 2)
    for x in (normal(own["b"] for own in one["factors"].values()),
              *(normal(own[factor] for own in two["factors"].values()) for factor in "abe")):
        assert abs(x.mean()) < 4 * len(x) ** -0.5 and abs(x.std() - 1) < 4 * (2 * len(x)) ** -0.5
        # No uniform one, which ends at √3, and no two alike.
        assert np.abs(x).max() > 1.8 and len(np.unique(x)) == len(x)
    assert len(np.unique(normal(own["b"] for own in one["factors"].values()))) == 3 * 256
    for tree in (one, two):
        for name, own in tree["factors"].items():
            for factor, x in own.items():
                expected = [2 * np.abs(layer).max() / 3 for layer in x]
                np.testing.assert_allclose(tree["steps"][name][factor], expected, rtol=1e-6)
                assert tree["logits"][name][factor].tolist() == [[6.0] * 4] * LAYERS
    assert not one["rank_logits"] and set(two["rank_logits"]) == set(SIZES)
    assert all(logits.tolist() == [[6.0]] * LAYERS for logits in two["rank_logits"].values())
    other = _start(tiny_base, 1, seed=1)
    assert np.all(other["factors"]["ffn/up"]["a"] != one["factors"]["ffn/up"]["a"])


def test_what_is_trained_moves_by_the_rate_of_its_group(tiny_base, monkeypatch):
    monkeypatch.setattr(bayesian_bits, "freeze", lambda form, seed, fitted: fitted)
    rates = {"factors": 3e-3, "logits": 0.05, "rank_logits": 0.05, "steps": 2e-4}
    # Gates hear of the regulariser alone.
    setting = dict(factor_rate=3e-3, gate_rate=0.05, scale_rate=2e-4, width_weight=100.0, rank_weight=100.0)
    before = _start(tiny_base, 2)
    # One batch is one step, in which Adam moves by the rate and the decay is 1e-3 of it.
    after = _fit(tiny_base, num_examples=4, epochs=1, **setting)
    for name, rate in rates.items():
        moves = jax.tree.map(lambda new, old, rate=rate: (new - old * (1 - 1e-3 * rate)) / rate,
                             after[name], before[name])
        moves = np.concatenate([np.ravel(x) for x in jax.tree.leaves(moves)])
        assert np.abs(moves).max() < 1.01
        # The others have no gradient: the largest number of a tensor is clipped.
        assert np.mean(np.abs(moves) > 0.95) > 0.9
        if "logits" in name:
            np.testing.assert_allclose(moves, -1, atol=0.002)
    # The rates stay as they are.
    later = _fit(tiny_base, num_examples=32, epochs=1, **setting)
    falls = np.concatenate([np.ravel(6 - x) for x in jax.tree.leaves(later["logits"])])
    np.testing.assert_allclose(falls, 8 * 0.05, rtol=0.1)


@pytest.mark.parametrize("rank", [1, 2])
def test_a_step_gives_what_it_takes_so_that_it_is_compiled_once(rank, tiny_base):
    problem, rows = bayesian_bits._problem(tiny_base.decoder, rank), _setting().batch_size
    batch = step_lib.Batch(np.zeros((rows, 9), np.int32), np.zeros((rows, 9), np.float32))
    tuning = tuned.Tuning(*np.ones(3, np.float32), *np.ones(2, np.int32))
    before = jax.eval_shape(problem.state, problem.knobs)
    run = tuned.make_step(problem, rows).run
    after, _ = jax.eval_shape(run, before, tiny_base.params, batch, tuning, problem.knobs)
    kinds = lambda state: jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), state)
    assert kinds(after) == kinds(before)


@pytest.mark.parametrize("rank", [1, 2])
def test_training_sees_what_the_file_gives(rank, tiny_base):
    tree = _with_widths(_tree(rank), _mixed)
    for logits in tree["rank_logits"].values():
        logits[:, 0] = [OPEN, SHUT, OPEN]
    held = codec.write(FAMILY, _frozen(tree, rank), tiny_base).adapted.program["layers"]
    some = {part: {name: tree[part].get(name) for name in ("attention/k", "ffn/down")} for part in tree}
    if rank == 1:
        some["rank_logits"] = {}
    moment = tuned.Moment(jnp.float32(0), jax.random.key(0))
    problem = bayesian_bits._problem(tiny_base.decoder, rank)
    seen = problem.expand(some, tiny_base.params, bayesian_bits._knobs(_setting(), 0), moment)
    assert seen["params"] is tiny_base.params
    for name in some["factors"]:
        group, projection = name.split("/")
        for mine, own in zip(*(jax.tree.map(np.array, [found[group][projection][factor] for factor in "ab"])
                               for found in (seen["program"]["layers"], held)), strict=True):
            if mine.shape[1] != rank:
                # A rank that is shut shows in b alone while training.
                mine[1, :, 1:] = 0
            assert np.any(own)
            np.testing.assert_allclose(mine, own, rtol=1e-5, atol=1e-7)


def test_training_has_a_rank_or_has_it_not(tiny_base):
    tree = _tree(4, ["ffn/up"])
    tree["logits"] = jax.tree.map(lambda x: np.full_like(x, SHUT), tree["logits"])
    # With 2 bits a number of e may be 0; here none is.
    tree["factors"]["ffn/up"]["e"] = np.tile(tree["steps"]["ffn/up"]["e"][:, None], (1, 4))
    expand, knobs = bayesian_bits._problem(tiny_base.decoder, 4).expand, bayesian_bits._knobs(_setting(), 0)

    @jax.jit
    def drawn(rank_logit, seed):
        own = tree | {"rank_logits": {"ffn/up": jnp.full((LAYERS, 3), rank_logit)}}
        moment = tuned.Moment(jnp.float32(0), jax.random.key(seed))
        return expand(own, {}, knobs, moment)["program"]["layers"]["ffn"]["up"]["b"]

    whole, sets = np.asarray(drawn(OPEN, 0)), set()
    for seed in range(20):
        some = np.asarray(drawn(0.5, seed))
        kept = np.any(some, axis=2)
        np.testing.assert_array_equal(some, np.where(kept[:, :, None], whole, 0))
        sets |= {tuple(row) for row in kept.tolist()}
    # Nested: rank 1 always, and none without those before it.
    assert sets == {(True, *(number < many for number in range(3))) for many in range(4)}


def test_gates_close_as_fast_as_they_are_let(tiny_base):
    slow = _fit(tiny_base, gate_rate=1e-6)
    fast = _fit(tiny_base, gate_rate=0.5)
    of = lambda theta: np.concatenate([tensor.widths for tensor in theta.tensors.values()])
    assert np.all(of(slow) == 32)
    assert np.mean(of(fast)) < 8
    long, short = (codec.write(FAMILY, theta, tiny_base).bits for theta in (slow, fast))
    assert short < long / 4
    counts = [bayesian_bits.reference_bits(theta, tiny_base.decoder) for theta in (slow, fast)]
    assert counts[1] < counts[0] / 4


def test_a_strong_weight_closes_ranks(tiny_base):
    free, charged = (
        _fit(tiny_base, gate_rate=0.5, width_weight=0.0, rank_weight=weight) for weight in (0.0, 1.0))
    assert all(np.all(ranks == 1) for ranks in charged.ranks.values())
    assert np.mean([np.mean(ranks) for ranks in free.ranks.values()]) > 1.3


def test_ranks_that_were_cut_are_not_in_the_file(tiny_base):
    tree = _with_widths(_tree(4), lambda *place: 32)
    for logits in tree["rank_logits"].values():
        # An open gate after a shut one is nothing.
        logits[:] = [[OPEN, OPEN, OPEN], [OPEN, SHUT, OPEN], [SHUT, OPEN, OPEN]]
    theta, ranks = _frozen(tree, 4), (4, 2, 1)
    written = codec.write(FAMILY, theta, tiny_base)
    assert all(own.tolist() == list(ranks) for own in theta.ranks.values())
    for group in codec.read(written.data, tiny_base).adapted.program["layers"].values():
        for pair in group.values():
            for layer, rank in enumerate(ranks):
                assert np.all(np.any(pair["a"][layer], axis=0) == (np.arange(4) < rank))
                assert np.all(np.any(pair["b"][layer], axis=1) == (np.arange(4) < rank))
    found = {entry.field: entry.ideal_bits for entry in written.ledger}
    for name, (inputs, outputs) in SIZES.items():
        for factor, size in (("a", inputs), ("b", outputs), ("e", 1)):
            expected = sum(ranks) * 32 * size + LAYERS * (16 + math.log2(6))
            assert math.isclose(found[f"{name}/{factor}"], expected, rel_tol=1e-4)


@pytest.mark.parametrize("rank", [1, 2, 8])
def test_the_file_gives_the_model_that_was_written(rank, tiny_base):
    tree = _with_widths(_tree(rank), _mixed)
    tree["rank_logits"] = jax.tree.map(
        lambda x: np.random.default_rng(0).choice([OPEN, SHUT], x.shape, p=[0.8, 0.2]), tree["rank_logits"])
    # A fit's steps have more digits than a file's, and can have either sign.
    kept = _frozen(tree, rank)
    tree["steps"] = jax.tree.map(lambda x: -1.0001 * x, tree["steps"])
    jax.tree.map(np.testing.assert_array_equal, _frozen(tree, rank).tensors, kept.tensors)
    written = codec.write(FAMILY, kept, tiny_base)
    read = codec.read(written.data, tiny_base)
    own, other = read.adapted, written.adapted
    assert own.digest() == other.digest() and own.portable and not own.unchanged
    assert read.ledger == written.ledger and own.widths == other.widths


def test_numbers_that_are_all_zero_leave_the_model_unchanged(tiny_base):
    tree = _with_widths(_tree(2), _mixed)
    tree["factors"] = jax.tree.map(np.zeros_like, tree["factors"])
    theta = _frozen(tree, 2)
    written = codec.write(FAMILY, theta, tiny_base)
    read = codec.read(written.data, tiny_base).adapted
    assert written.adapted.unchanged and read.unchanged and read.digest() == written.adapted.digest()
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(read.program))
    # Three tensors and a rank for every projection, of each layer, and a header.
    assert written.bits < len(SIZES) * LAYERS * (3 * math.log2(6) + 1) + 40
    tree["factors"]["ffn/up"]["e"][0, 0] = 1.0
    assert not codec.write(FAMILY, _frozen(tree, 2), tiny_base).adapted.unchanged
    # In the paper's count a tensor has 2 bits at least.
    sizes = sum(inputs + outputs + 1 for inputs, outputs in SIZES.values())
    assert bayesian_bits.reference_bits(theta, tiny_base.decoder) == 2 * 2 * LAYERS * sizes


def test_accounts_say_the_papers_count_and_what_the_fit_took(tiny_base):
    theta = _frozen(_with_widths(_tree(1), _mixed), 1)
    one, two = (FAMILY.accounts(_setting(num_examples=num, epochs=epochs, rank=1), theta, tiny_base)
                for num, epochs in ((4, 1), (13, 3)))
    assert one.reference_bits == bayesian_bits.reference_bits(theta, tiny_base.decoder) > 0
    # 13 examples are four batches, three times.
    assert two.train_flops == 12 * one.train_flops > 0


@pytest.mark.parametrize("changes, message", [
    ({"rank": 3}, "rank is 3"), ({"gate_rate": 0.0}, "gate_rate is 0.0"),
    ({"rank_weight": -1.0}, "rank_weight is -1.0"), ({"width_weight": math.inf}, "width_weight is inf")])
def test_impossible_settings_are_refused(changes, message, tiny_base):
    with pytest.raises(errors.UserError, match=message):
        _fit(tiny_base, **changes)


def test_divergence_is_an_error(tiny_base):
    with pytest.raises(errors.UserError, match="training loss is"):
        _fit(tiny_base, factor_rate=1e38)
