"""The nano tokenizer encodes any text, gives it back unchanged and keeps digits apart."""

import itertools

from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from sah_jax.tasks.nano.corpus import documents
from sah_jax.tasks.nano.tokenizer import END_OF_TEXT, train_tokenizer

VOCAB_SIZE = 1024


def _trained() -> Tokenizer:
    return train_tokenizer(itertools.islice(documents(0), 1000), VOCAB_SIZE)


TOKENIZER = _trained()


@given(st.text().filter(lambda text: END_OF_TEXT not in text))
def test_decoding_gives_back_any_text(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text).ids) == text


@given(st.integers(min_value=0), st.sampled_from(("", " ", "$", "a", " = ", "\n")))
def test_every_digit_is_its_own_token(number: int, before: str) -> None:
    tokens = TOKENIZER.encode(f"{before}{number}{before}").tokens
    assert [token for token in tokens if any(char.isdigit() for char in token)] == list(str(number))


def test_no_entry_of_the_vocabulary_holds_a_digit_and_more() -> None:
    holding = [
        token for token in TOKENIZER.get_vocab() if any(char in "0123456789" for char in token)
    ]
    assert sorted(holding) == list("0123456789")


def test_the_vocabulary_holds_all_bytes_and_one_special_token() -> None:
    assert TOKENIZER.get_vocab_size() == VOCAB_SIZE
    assert TOKENIZER.token_to_id(END_OF_TEXT) == 0
    assert len([token for token in TOKENIZER.get_vocab() if len(token) == 1]) == 256


def test_nothing_is_put_in_front_of_a_text() -> None:
    assert TOKENIZER.encode("").ids == []
    assert 0 not in TOKENIZER.encode("Tom has 5 pears.").ids
    assert TOKENIZER.encode(END_OF_TEXT).ids == [0]


def test_training_twice_gives_the_same_tokenizer() -> None:
    assert _trained().to_str() == TOKENIZER.to_str()
