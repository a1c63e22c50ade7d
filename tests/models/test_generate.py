"""Greedy continuations hang on the text alone, and end where they should."""

import dataclasses

import jax
import numpy as np
import pytest
import tokenizers

from sah_jax import errors
from sah_jax.models import base as base_lib
from sah_jax.models import generate as generate_lib
from sah_jax.models import greedy, padding
from sah_jax.models.generate import generate
from sah_jax.programs import lowrank

# Of many lengths, two of them at a multiple of the bucket of 32.
PROMPTS = ("a", "hello world.", "b" * 32, "no. 17, no. 18; no. 19", "xy" * 32, "a b c d e f g")
LONG = 32

# Most tests have the same shapes, so that they share two executables.
OPTIONS = {"max_new_tokens": LONG, "batch_size": 4}


@pytest.fixture(scope="module")
def variables(tiny_base):
    return {"params": tiny_base.params}


@pytest.fixture(scope="module")
def full(tiny_base, variables):
    """The whole continuation of each prompt."""
    return generate(tiny_base, variables, PROMPTS, **OPTIONS)


def _ending_at(base, *tokens):
    return dataclasses.replace(base, spec=dataclasses.replace(base.spec, end_tokens=tokens))


@pytest.fixture
def stretches(monkeypatch):
    """Collects how many steps each stretch takes."""
    steps, stretch = [], greedy.stretch

    def counted(decoder, variables, rows, *rest):
        before_B = np.array(rows.positions_B)
        out = stretch(decoder, variables, rows, *rest)
        steps.append(int(np.max(np.asarray(out[0].positions_B) - before_B)))
        return out

    monkeypatch.setattr(greedy, "stretch", counted)
    return steps


def test_the_tiny_model_says_something_else_to_each_prompt(full):
    assert len(set(full)) == len(PROMPTS)
    assert all(len(set(text)) > 5 for text in full)


def test_a_prompt_gets_what_the_uncached_decoder_gives(tiny_base, variables, full):
    """Each token is the most likely one after all before it, start token and prompt included."""
    rows = [
        [tiny_base.spec.start_token, *tiny_base.encode(prompt + text)]
        for prompt, text in zip(PROMPTS, full, strict=True)]
    tokens_BL = np.zeros((len(rows), max(map(len, rows))), np.int32)
    for index, row in enumerate(rows):
        tokens_BL[index, : len(row)] = row
    logits_BLV = np.asarray(jax.jit(tiny_base.decoder.apply)(variables, tokens_BL))
    for prompt, row, logits_LV in zip(PROMPTS, rows, logits_BLV, strict=True):
        first = 1 + len(prompt)
        assert row[first:] == logits_LV[first - 1 : len(row) - 1].argmax(axis=-1).tolist()


def test_batch_and_padding_do_not_change_a_token(tiny_base, variables, full):
    alone = [
        generate(tiny_base, variables, [prompt], max_new_tokens=LONG, batch_size=1)[0]
        for prompt in PROMPTS]
    assert alone == full


def test_the_order_of_the_prompts_is_kept(tiny_base, variables, full):
    assert generate(tiny_base, variables, PROMPTS[::-1], **OPTIONS) == full[::-1]


@pytest.mark.parametrize("context", ["some words before. ", "z" * 31, "z" * 40])
def test_context_is_text_before_the_prompt(tiny_base, variables, context):
    prompts = [prompt for prompt in PROMPTS if len(prompt) < 24]
    after = generate(tiny_base, variables, prompts, context=tiny_base.encode(context), **OPTIONS)
    assert after == generate(
        tiny_base, variables, [context + prompt for prompt in prompts], **OPTIONS)
    assert after != generate(tiny_base, variables, prompts, **OPTIONS)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_stop_string_cuts_just_before_itself(tiny_base, variables, full, length):
    # Taken from one text at every place, across the ends of stretches too.
    for first in range(0, LONG - length, 5):
        stop = full[1][first : first + length]
        cut = generate(tiny_base, variables, PROMPTS, stop=(stop,), **OPTIONS)
        assert cut == [text.split(stop)[0] for text in full]


def test_the_first_of_several_stop_strings_counts(tiny_base, variables, full):
    late, early = full[0][7:10], full[0][3:5]
    assert early in full[0].split(late)[0]
    for stop in ((late, early, "\N{SNOWMAN}"), (early, late)):
        expected = [text.split(late)[0].split(early)[0] for text in full]
        assert generate(tiny_base, variables, PROMPTS, stop=stop, **OPTIONS) == expected


@pytest.mark.parametrize("length", [1, 15, 16, 17, LONG])
def test_no_more_than_max_new_tokens_are_written(tiny_base, variables, full, length):
    texts = generate(tiny_base, variables, PROMPTS, max_new_tokens=length, batch_size=4)
    assert texts == [text[:length] for text in full]
    assert {len(text) for text in texts} == {length}


@pytest.mark.parametrize("place", [0, 3, 15, 16, 17])
def test_a_row_ends_at_an_end_token(tiny_base, variables, full, place):
    # A character that the prompts do not hold, or they would be refused.
    row = next(
        index for index, text in enumerate(full) if text[place] not in "".join(PROMPTS))
    end = full[row][place]
    base = _ending_at(tiny_base, tiny_base.spec.end_tokens[0], *tiny_base.encode(end))
    texts = generate(base, variables, PROMPTS, **OPTIONS)
    assert texts == [text.split(end)[0] for text in full]
    assert len(texts[row]) <= place


def test_a_special_token_can_be_a_stop_string(tiny_base, variables, full):
    """Decoding leaves special tokens out, so it is not found as text."""
    mark = next(char for char in full[0] if char not in "".join(PROMPTS))
    tokenizer = tokenizers.Tokenizer.from_str(tiny_base.tokenizer.to_str())
    tokenizer.add_special_tokens([mark])
    base = dataclasses.replace(tiny_base, tokenizer=tokenizer)
    assert generate(base, variables, PROMPTS, **OPTIONS) == [text.replace(mark, "") for text in full]
    texts = generate(base, variables, PROMPTS, stop=("\N{SNOWMAN}", mark), **OPTIONS)
    assert texts == [text.split(mark)[0] for text in full]
    assert base.ends((mark, "a")) == (*base.spec.end_tokens, base.tokenizer.token_to_id(mark))


def test_rows_that_ended_stop_the_loop(tiny_base, variables, full, stretches):
    prompts, texts = PROMPTS[:4], full[:4]
    ends = sorted(set("".join(texts)) - set("".join(prompts)))
    base = _ending_at(tiny_base, *(tiny_base.encode(end)[0] for end in ends))
    lengths = [len(text) for text in generate(base, variables, prompts, **OPTIONS)]
    # The last row is seen to have ended in the step of its end token.
    assert sum(stretches) == max(lengths) + 1 < LONG


def test_stop_strings_stop_the_loop_after_their_stretch(tiny_base, variables, full, stretches):
    stop = tuple(text[2:5] for text in full[:4])
    generate(tiny_base, variables, PROMPTS[:4], stop=stop, **OPTIONS)
    assert stretches == [16]


def test_what_is_compiled_is_bounded_by_the_buckets_and_used_again(tiny_base, variables):
    prompts = ["ab" * (length // 2) for length in range(2, 64, 4)]
    buckets = {padding.bucket(1 + len(prompt)) for prompt in prompts}
    assert len(buckets) == 3
    options = {"max_new_tokens": 8, "batch_size": 3}  # shapes of no other test
    counts = [(greedy.prefill._cache_size(), greedy.stretch._cache_size())]
    for order in (1, -1):
        generate(tiny_base, variables, prompts[::order], **options)
        counts.append((greedy.prefill._cache_size(), greedy.stretch._cache_size()))
    before, first, second = np.array(counts)
    assert np.all(first - before == len(buckets))
    assert np.array_equal(first, second)


def test_rows_of_a_batch_are_of_similar_lengths(tiny_base, variables, monkeypatch):
    lengths, prefill = [], greedy.prefill

    def seen(decoder, variables, prefix_1P, prefix_length, tokens_BL, lengths_B, **rest):
        lengths.append(lengths_B.tolist())
        return prefill(decoder, variables, prefix_1P, prefix_length, tokens_BL, lengths_B, **rest)

    monkeypatch.setattr(greedy, "prefill", seen)
    generate(tiny_base, variables, ["a" * n for n in (60, 3, 59, 4, 61, 2, 5, 62)], max_new_tokens=1,
             batch_size=4)
    assert lengths == [[3, 4, 5, 6], [60, 61, 62, 63]]


class BytesText(base_lib.BaseModel):
    """A base model whose tokens are bytes; what is not UTF-8 (yet) reads as a mark."""

    def decode(self, tokens):
        return bytes(tokens).decode(errors="replace")


@pytest.mark.parametrize("shift", range(4))
def test_a_stop_string_is_found_wherever_its_bytes_fall(tiny_base, variables, monkeypatch, shift):
    """Its bytes come in different stretches, and the end of a stretch may split a letter."""
    text = "x" * (16 - shift) + "a\N{SNOWMAN}\N{LATIN SMALL LETTER E WITH ACUTE}b" + "y" * 48
    script = np.frombuffer(text.encode(), np.uint8).astype(np.int32)
    base = BytesText(**{f.name: getattr(tiny_base, f.name) for f in dataclasses.fields(tiny_base)})
    starts = []

    def scripted(decoder, variables, rows, end_tokens, steps, length):
        starts.append(int(rows.positions_B[0]) - 2)  # the start token and one of the prompt
        out_BC = np.tile(script[starts[-1] : starts[-1] + length], (len(rows.next_B), 1))
        return rows._replace(positions_B=rows.positions_B + steps), out_BC, np.full(len(out_BC), steps)

    monkeypatch.setattr(greedy, "stretch", scripted)
    for stop in ("\N{SNOWMAN}", "\N{LATIN SMALL LETTER E WITH ACUTE}", "a\N{SNOWMAN}"):
        starts.clear()
        (got,) = generate(base, variables, ["q"], stop=(stop,), max_new_tokens=3 * 16, batch_size=1)
        before = text.split(stop)[0]
        assert got == before
        # And the loop ended with the stretch that holds its last byte.
        assert len(starts) == -(-len((before + stop).encode()) // 16)


@pytest.mark.parametrize("adapted", [False, True])
def test_large_layers_stay_in_their_stack(tiny_base, variables, full, monkeypatch, adapted):
    if adapted:
        factors = lowrank.start(tiny_base.decoder, 2, 0)
        factors = jax.tree.map(lambda leaf: leaf + 0.05, factors)
        variables = variables | {"program": lowrank.expand(factors, 1.0)}
    unrolled = generate(tiny_base, variables, PROMPTS, **OPTIONS)
    assert (unrolled == full) != adapted
    monkeypatch.setattr(greedy, "_UNROLLED_BYTES", 0)
    assert not greedy.for_decoding(tiny_base.decoder, variables, None)[0].unrolled
    assert generate(tiny_base, variables, PROMPTS, **OPTIONS) == unrolled


def test_no_prompts_give_no_responses(tiny_base, variables):
    assert generate(tiny_base, variables, [], max_new_tokens=LONG) == []


def test_a_prompt_must_leave_room_for_the_new_tokens(tiny_base, variables, full):
    needed = 1 + max(map(len, PROMPTS)) + LONG
    fits, short = (
        dataclasses.replace(tiny_base, spec=dataclasses.replace(tiny_base.spec, max_positions=room))
        for room in (needed, needed - 1))
    assert generate(fits, variables, PROMPTS, **OPTIONS) == full
    with pytest.raises(errors.UserError, match=f"'xyxy.* needs {needed} positions of {needed - 1}"):
        generate(short, variables, PROMPTS, **OPTIONS)
    with pytest.raises(errors.UserError, match=f"'xyxy.* needs {needed + 3} positions of {needed}"):
        generate(fits, variables, PROMPTS, context=fits.encode("abc"), **OPTIONS)


def test_an_empty_prompt_is_refused(tiny_base, variables):
    with pytest.raises(errors.UserError, match="'' has 0 tokens"):
        generate(tiny_base, variables, ["a", ""], **OPTIONS)


def test_a_prompt_may_not_hold_the_end_token(tiny_base, variables):
    with pytest.raises(errors.UserError, match="end token '<end>'"):
        generate(tiny_base, variables, ["one<end>two"], **OPTIONS)


def test_a_stream_gives_one_text_at_a_time(tiny_base, variables, full):
    asked = []

    def prompts():
        for prompt in PROMPTS[:3]:
            asked.append(prompt)
            yield prompt

    texts = generate_lib.stream(tiny_base, variables, prompts(), max_new_tokens=LONG)
    assert [next(texts), next(texts)] == full[:2]
    assert asked == [*PROMPTS[:2]]
