"""The program file: what is put is taken, bits are booked alike, and damage does no harm."""

import random

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from sah_jax import coding, errors
from sah_jax.coding import arithmetic, file, integers, ledger, tensors

# The same cases every time, however busy the machine.
SETTINGS = hypothesis.settings(derandomize=True, deadline=None, max_examples=60)

# A toy program: a version, a number of records, and records of every kind there is. The
# letters of a text follow one unequal table, in which 0 ends it.
VERSION, MOST_RECORDS, MOST_VALUES = 3, 40, 200
KINDS = ("count", "decimal", "bits", "array", "text")
LETTERS = (np.array([0, 0.1, 0.55, 0.8, 0.9, 1]) * arithmetic.TOTAL).astype(np.int64)


def _write_record(writer, kind, value):
    integers.write_choice(writer, KINDS, kind)
    with writer.field(kind):
        if kind == "count":
            integers.write_count(writer, value)
        elif kind == "decimal":
            integers.write_decimal(writer, value)
        elif kind == "bits":
            integers.write_bits(writer, value, 11)
        elif kind == "array":
            with writer.field("array sizes"):
                integers.write_count(writer, len(value))
            tensors.write_array(writer, np.array(value, int), 4)
        else:
            writer.put_table(LETTERS, [*value, 0])


def _read_record(reader):
    kind = integers.read_choice(reader, KINDS)
    with reader.field(kind):
        if kind == "count":
            return kind, integers.read_count(reader, "units", 1 << 40)
        if kind == "decimal":
            return kind, integers.read_decimal(reader)
        if kind == "bits":
            return kind, integers.read_bits(reader, 11)
        if kind == "array":
            with reader.field("array sizes"):
                size = integers.read_count(reader, "values", MOST_VALUES)
            return kind, tuple(tensors.read_array(reader, (size,), 4).tolist())
        letters = []
        while letter := int(reader.take_table(LETTERS, 1)[0]):
            letters.append(letter)
        return kind, tuple(letters)


def _write(records):
    writer = file.ProgramWriter()
    integers.write_choice(writer, range(16), VERSION)
    with writer.field("records"):
        integers.write_count(writer, len(records))
        for kind, value in records:
            _write_record(writer, kind, value)
    return writer.close(), writer


def _read(data):
    reader = file.ProgramReader(data, "toy.sah")
    version = integers.read_choice(reader, range(16))
    if version != VERSION:
        raise reader.invalid(f"its version is {version}")
    with reader.field("records"):
        number = integers.read_count(reader, "records", MOST_RECORDS)
        records = [_read_record(reader) for _ in range(number)]
    reader.finish()
    return records, reader


def _random_records(rng, least=0):
    values = {
        "count": lambda: rng.randrange(1 << rng.randrange(1, 40)),
        "decimal": lambda: float(f"{rng.randrange(1, 100)}e-{rng.randrange(16)}"),
        "bits": lambda: rng.randrange(1 << 11),
        "array": lambda: tuple(rng.choice([0, 0, 1, -1, rng.randint(-7, 7)])
                               for _ in range(rng.choice([1, 3, 40]))),
        "text": lambda: tuple(rng.randint(1, 4) for _ in range(rng.randrange(10)))}
    kinds = [rng.choice(KINDS) for _ in range(rng.randint(least, 6))]
    return [(kind, values[kind]()) for kind in kinds]


def _bits(book, data):
    return [(entry.field, entry.bits) for entry in book.ledger.entries(len(data))]


def _outcome(data):
    """Returns the records, or None where the file is refused; nothing else may happen."""
    try:
        return _read(data)[0]
    except errors.UserError as error:
        assert str(error).startswith("toy.sah: ") and str(error).endswith(".")
        return None


@SETTINGS
@hypothesis.given(st.randoms(use_true_random=False))
def test_programs_come_back_with_the_same_ledger(rng):
    records = _random_records(rng)
    data, writer = _write(records)
    read, reader = _read(data)
    assert read == records
    assert _bits(reader, data) == _bits(writer, data)
    assert reader.ledger.ideal_bits == pytest.approx(writer.ledger.ideal_bits)
    assert sum(bits for _, bits in _bits(writer, data)) == 8 * len(data)
    *_, (last, termination) = _bits(writer, data)
    assert last == ledger.TERMINATION and 0 <= termination <= 9


def test_the_same_program_is_always_the_same_bytes():
    records = _random_records(random.Random(8))
    assert len({_write(records)[0] for _ in range(3)}) == 1


def test_fields_nest_and_survive_errors():
    writer = file.ProgramWriter()
    put = lambda bits: integers.write_bits(writer, 0, bits)
    put(1)
    with writer.field("outer"):
        put(2)
        with writer.field("inner"):
            put(4)
            with writer.field("outer"):
                put(8)
        put(16)
        with pytest.raises(KeyError), writer.field("failed"):
            put(32)
            raise KeyError
        put(64)
    put(128)
    assert writer.ledger.entries(40) == [
        ("header", 129, 129.0), ("outer", 90, 90.0), ("inner", 4, 4.0), ("failed", 32, 32.0),
        (ledger.TERMINATION, 65, 0.0)]


def test_a_reader_books_what_it_reads_under_its_own_fields():
    data, _ = _write([("bits", 5), ("text", (1, 2))])
    _, reader = _read(data)
    fields = [field for field, _ in _bits(reader, data)]
    assert fields == ["header", "records", "bits", "text", ledger.TERMINATION]


@pytest.mark.parametrize("size", [0, coding.MAX_FILE_BYTES + 1])
def test_empty_and_oversized_files_are_refused(size):
    with pytest.raises(errors.UserError, match=f"toy.sah: has {size} bytes, expected 1 to"):
        file.ProgramReader(bytes(size), "toy.sah")


def test_a_program_without_symbols_is_one_byte():
    data = file.ProgramWriter().close()
    assert data == b"\0"
    file.ProgramReader(data).finish()


@pytest.mark.parametrize("claimed", [10**4, 10**7, 10**12])
def test_a_short_file_does_not_pay_for_what_it_claims(claimed):
    """The stream runs out long before memory or patience do."""
    likely = np.array([0, arithmetic.TOTAL * 9 // 10, arithmetic.TOTAL])
    for table in (file.uniform_table(256), likely):
        with pytest.raises(errors.UserError, match="its 3 bytes end before the program does"):
            file.ProgramReader(b"abc").take_table(table, claimed)


@pytest.mark.parametrize("count", [0, 1, 16, 17, 4096, 4097, 9000])
def test_tables_of_any_number_of_symbols(count):
    rng = np.random.default_rng(count)
    symbols = rng.integers(0, 5, count)
    writer = file.ProgramWriter()
    writer.put_table(LETTERS, symbols)
    writer.put_table(file.uniform_table(3), [2, 0])
    data = writer.close()
    reader = file.ProgramReader(data)
    taken = reader.take_table(LETTERS, count)
    assert taken.dtype == np.int32 and (taken == symbols).all()
    assert reader.take_table(file.uniform_table(3), 2).tolist() == [2, 0]
    reader.finish()
    assert _bits(reader, data) == _bits(writer, data)


@pytest.mark.parametrize("size", [1, 2, 3, 100, 255, 256])
def test_uniform_tables_give_equal_parts_of_the_total(size):
    table = file.uniform_table(size)
    assert len(table) == size + 1 and table[0] == 0 and table[-1] == arithmetic.TOTAL
    assert set(np.diff(table)) <= {arithmetic.TOTAL // size, -(-arithmetic.TOTAL // size)}


def test_windows_are_the_next_bytes_and_zeros_after_the_end():
    data = bytes(range(1, 30))
    reader = file.ProgramReader(data)
    # The first eight bytes are in the coder's state.
    assert reader.window(3).tobytes() == data[8:20]
    reader.take_table(file.uniform_table(256), 16)
    assert reader.window(3).tobytes() == data[24:] + bytes(7)


def _some_programs(number):
    rng = random.Random(0)
    for _ in range(number):
        records = _random_records(rng, least=2)
        yield rng, records, _write(records)[0]


def test_shortened_programs_are_refused_or_others():
    """A file has no checksum: what is left without its last byte often is another whole program.

    From three lost bytes on, nearly every one is noticed. Hardly any reads as if it were whole:
    only an array has several codes, one of which can happen to be the shortened file.
    """
    tried = noticed = same = 0
    for rng, records, data in _some_programs(80):
        for lost in (1, 2, 3, 5, rng.randint(3, len(data))):
            outcome = _outcome(data[: max(len(data) - lost, 0)])
            same += outcome == records
            tried += lost >= 3
            noticed += lost >= 3 and outcome is None
    assert noticed >= 0.95 * tried
    assert same <= 2


def test_lengthened_programs_are_refused():
    """But for a few; by luck one whose file could have ended either way reads as it was."""
    tried = noticed = same = 0
    for rng, records, data in _some_programs(60):
        for tail in (bytes(1), bytes(4), b"\xff", rng.randbytes(1), rng.randbytes(7), data):
            outcome = _outcome(data + tail)
            same += outcome == records
            tried += 1
            noticed += outcome is None
    assert noticed >= 0.98 * tried
    assert same <= 2


def _damaged(rng, data):
    """One of the ways in which bytes go wrong."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5])):
        where = rng.randrange(len(changed))
        kind = rng.randrange(6)
        if kind == 0:
            changed[where] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[where] = rng.choice([0, 255, rng.randrange(256)])
        elif kind == 2:
            changed[where:where] = rng.randbytes(rng.randint(1, 3))
        elif kind == 3:
            del changed[where:where + rng.randint(1, 3)]
        elif kind == 4:
            changed[where:] = bytes([rng.choice([0, 255])]) * (len(changed) - where)
        else:
            changed[where:] = rng.randbytes(rng.randrange(2 * len(changed)))
        changed = changed or bytearray(b"\0")
    return bytes(changed)


def test_damaged_programs_are_refused_or_others_and_nothing_else_happens():
    refused = same = 0
    for rng, records, data in _some_programs(60):
        for _ in range(6):
            damaged = _damaged(rng, data)
            outcome = _outcome(damaged)
            refused += outcome is None
            same += outcome == records and damaged != data
    assert refused > 250
    assert same <= 2


def test_random_bytes_are_refused_or_a_program_and_nothing_else_happens():
    rng = random.Random(1)
    # Half of them get past the version.
    first = _write(_random_records(rng))[0][:1]
    outcomes = [_outcome(first * (index % 2) + rng.randbytes(rng.randint(1, 60)))
                for index in range(200)]
    assert outcomes.count(None) > 150


def test_errors_name_the_file_and_say_what_to_check():
    error = file.ProgramReader(b"x", "some/toy.sah").invalid("it claims 7 things")
    assert isinstance(error, errors.UserError)
    assert str(error).startswith("some/toy.sah: it claims 7 things; the file is truncated")
