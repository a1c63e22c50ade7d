"""Settings are declared once: what a config may say is what a file can hold and a reader accepts."""

import dataclasses
import math

import numpy as np
import pytest

from sah_jax import errors
from sah_jax.coding import file, integers
from sah_jax.programs import header

NAMES = ("q", "k", "v", "o")
SUBSET = header.Subset(NAMES)
COUNT = header.Count(3, 1000)

# Rule, value, and the bits that it costs; of counts see the test of their own.
COSTS = [
    (header.Choice((1, 2, 4, 8)), 4, 2.0),
    (header.Choice(("a", "b", "c")), "c", math.log2(3)),
    (header.Choice(("only",)), "only", 0.0),
    (header.Decimal(), 1e-15, math.log2(16) + math.log2(99)),
    (header.Decimal(), 0.003, math.log2(16) + math.log2(99)),
    (header.Decimal(), 99.0, math.log2(16) + math.log2(99)),
    (SUBSET, "all", 1.0),
    (SUBSET, "q", 1.0 + len(NAMES)),
    (SUBSET, "q,k,o", 1.0 + len(NAMES)),
    (header.Layers(), "all", 1.0),
    (header.Layers(), "1", 1.0 + 3),
    (header.Layers(), "0,2", 1.0 + 3),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Form:
    """What the file holds."""

    size: int = header.coded(COUNT)
    rate: float = header.coded(header.Decimal(), default=0.5)
    layers: str = header.coded(header.Layers(), default="all")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting(Form):
    """What a config says."""

    weight: float = header.fitting(header.NotNegative(), default=0.0)
    epochs: int = header.fitting(header.Positive(), default=1)


def _written(rule, value, base):
    writer = file.ProgramWriter()
    rule.write(writer, value, base)
    return writer


def _reader(writer):
    # More symbols after the rule's own, as in a file.
    integers.write_bits(writer, 0xABCD, 16)
    return file.ProgramReader(writer.close())


def _round_trip(rule, value, base):
    reader = _reader(_written(rule, value, base))
    found = rule.read(reader, "numbers", base)
    assert integers.read_bits(reader, 16) == 0xABCD
    return found


@pytest.mark.parametrize("rule, value, bits", COSTS)
def test_a_value_is_read_as_it_was_written_and_costs_what_it_should(rule, value, bits, tiny_base):
    assert rule.holds(value)
    found = _round_trip(rule, value, tiny_base)
    assert found == value and type(found) is type(value)
    # Tables of 99 or 3 have integer frequencies out of 2**30.
    assert _written(rule, value, tiny_base).ledger.ideal_bits == pytest.approx(bits, abs=1e-6)


def test_counts_are_read_as_written_and_small_ones_are_short(tiny_base):
    cost = {value: _written(COUNT, value, tiny_base).ledger.ideal_bits for value in (3, 4, 5, 900, 1000)}
    assert all(_round_trip(COUNT, value, tiny_base) == value for value in cost)
    assert cost[3] < cost[4] <= cost[5] < cost[900] < 20
    # What is counted begins with the least one.
    assert cost[3] == pytest.approx(1) == _written(header.Count(7, 9), 7, tiny_base).ledger.ideal_bits


@pytest.mark.parametrize("given, layers", [
    ("1-2", (1, 2)), ("2,0", (0, 2)), ("0,0-1", (0, 1)), ("2-2", (2,)), ("0-2", (0, 1, 2)),
    ("all", (0, 1, 2))])
def test_layers_are_the_same_ones_after_a_file(given, layers, tiny_base):
    rule = header.Layers()
    assert rule.holds(given)
    assert rule.of(given, tiny_base) == layers
    assert rule.of(_round_trip(rule, given, tiny_base), tiny_base) == layers
    bits = 1 if len(layers) == tiny_base.spec.layers else 1 + tiny_base.spec.layers
    assert _written(rule, given, tiny_base).ledger.ideal_bits == pytest.approx(bits)


def test_a_subset_that_names_all_is_written_as_all(tiny_base):
    assert _round_trip(SUBSET, "o,v,k,q", tiny_base) == "all"
    assert SUBSET.of("o,q") == ("q", "o")
    assert _round_trip(SUBSET, "o,q", tiny_base) == "q,o"


@pytest.mark.parametrize("rule, values", [
    (header.Choice((1, 2, 4)), (0, 3, 8, "1", None)),
    (COUNT, (2, 0, -5, 1001, 1 << 80)),
    (header.Decimal(), (0.0, -0.1, 100.0, 0.00123, 1e-16, math.inf, math.nan)),
    (SUBSET, ("", "x", "q,x", "q;k", "q, k", ",q", "ALL")),
    (header.Layers(), ("", "x", "2-1", "-1", "0;1", "0,,1", "all,x", "1.5", "1-", "0-3000000")),
    (header.Positive(), (0, -1, math.inf, math.nan)),
    (header.NotNegative(), (-1, -1e-9, math.inf, math.nan)),
])
def test_wrong_values_are_not_held(rule, values):
    assert [value for value in values if rule.holds(value)] == []


@pytest.mark.parametrize("rule, values", [
    (COUNT, (3, 1000)), (header.Positive(), (1e-30, 1, 1e30)), (header.NotNegative(), (0, 1e-30, 7)),
    (header.Decimal(), (1.0, 1e-3, 25, 0.000025))])
def test_values_at_the_bounds_are_held(rule, values):
    assert all(rule.holds(value) for value in values)


@pytest.mark.parametrize("rule, value", [(SUBSET, "all,q"), (SUBSET, "q,all")])
def test_all_beside_a_name_is_refused_or_means_all(rule, value):
    assert not rule.holds(value) or rule.of(value) == NAMES


@pytest.mark.parametrize("beyond", ["3", "0,7", "1-3"])
def test_layers_that_the_model_does_not_have_are_refused(beyond, tiny_base):
    rule = header.Layers()
    assert rule.holds(beyond)  # Another model may have them.
    for use in (lambda: rule.of(beyond, tiny_base), lambda: _written(rule, beyond, tiny_base)):
        with pytest.raises(errors.UserError, match=f"layers is '{beyond}', tiny has the layers 0 to 2"):
            use()


def test_counts_of_a_file_are_held_to_their_bounds(tiny_base):
    least, most = COUNT.least, COUNT.most
    for written in (most - least + 1, (1 << 40)):
        writer = file.ProgramWriter()
        integers.write_count(writer, written)
        with pytest.raises(errors.UserError, match=f"claims {written} more numbers, at most {most - least}"):
            COUNT.read(_reader(writer), "numbers", tiny_base)
    writer = file.ProgramWriter()
    integers.write_count(writer, most - least)
    assert COUNT.read(_reader(writer), "numbers", tiny_base) == most


@pytest.mark.parametrize("rule, count", [(SUBSET, len(NAMES)), (header.Layers(), 3)])
@pytest.mark.parametrize("member", [0, 1])
def test_no_subset_is_written_in_two_ways(rule, count, member, tiny_base):
    writer = file.ProgramWriter()
    for bit in (1, *[member] * count):  # "not all", and then none or all of them
        integers.write_bits(writer, bit, 1)
    with pytest.raises(errors.UserError, match=f"claims {member * count} numbers"):
        rule.read(_reader(writer), "numbers", tiny_base)


def test_whatever_bits_a_file_has_a_reader_takes_values_that_hold_or_refuses(tiny_base):
    rng, refused = np.random.default_rng(0), 0
    rules = [header.Choice(range(7)), COUNT, header.Decimal(), SUBSET, header.Layers()]
    for _ in range(40):
        data = rng.bytes(12)
        for rule in rules:
            try:
                assert rule.holds(rule.read(file.ProgramReader(data), "numbers", tiny_base))
            except errors.UserError:
                refused += 1
    assert 0 < refused < 40


@pytest.mark.parametrize("changes, words", [
    ({"size": 2}, ("size is 2", "3 to 1000")),
    ({"rate": 0.123}, ("rate is 0.123", "1 <= m <= 99")),
    ({"layers": "x"}, ("layers is x", '"all"')),
    ({"weight": -1.0}, ("weight is -1.0", "at least 0")),
    ({"epochs": 0}, ("epochs is 0", "above 0")),
])
def test_a_check_names_setting_value_and_what_is_expected(changes, words):
    header.check("mine", Setting(size=3), 0)
    with pytest.raises(errors.UserError) as told:
        header.check("mine", Setting(**{"size": 3, **changes}), 0)
    assert all(word in str(told.value) for word in (*words, "mine's setting", "correct the config"))


@pytest.mark.parametrize("rule, words", [
    (header.Choice((1, 2)), "one of 1, 2"), (COUNT, "3 to 1000"), (SUBSET, "q,k,v,o")])
def test_what_is_expected_names_the_values(rule, words):
    assert words in rule.expected


@pytest.mark.parametrize("seed", [-1, header.SEEDS])
def test_a_seed_that_a_file_cannot_hold_is_refused(seed):
    header.check("mine", Setting(size=3), header.SEEDS - 1)
    with pytest.raises(errors.UserError, match=f"mine's seed is {seed}, expected 0 to 255"):
        header.check("mine", Setting(size=3), seed)


def test_a_part_has_the_fields_of_the_form_alone():
    setting = Setting(size=5, rate=0.25, layers="0", weight=3.0)
    found = header.part(setting, Form)
    assert type(found) is Form and found == Form(size=5, rate=0.25, layers="0")


def test_a_form_and_its_seed_are_read_as_written_and_cost_the_sum_of_their_fields(tiny_base):
    form, writer = Form(size=17, rate=0.02, layers="0,2"), file.ProgramWriter()
    header.write(writer, form, 255, tiny_base)
    fields = sum(_written(rule, value, tiny_base).ledger.ideal_bits for rule, value in (
        (COUNT, 17), (header.Decimal(), 0.02), (header.Layers(), "0,2")))
    assert writer.ledger.ideal_bits == pytest.approx(fields + header.SEED_BITS)
    reader = _reader(writer)
    assert header.read(reader, Form, tiny_base) == (form, 255)
    assert integers.read_bits(reader, 16) == 0xABCD


def test_an_out_of_bounds_field_of_a_form_is_named(tiny_base):
    writer = file.ProgramWriter()
    integers.write_count(writer, COUNT.most)
    with pytest.raises(errors.UserError, match="claims 1000 more size"):
        header.read(_reader(writer), Form, tiny_base)
