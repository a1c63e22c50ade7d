"""The byte-level tokenizer of the nano world, trained on its own corpus."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import decoders, models, pre_tokenizers, Tokenizer, trainers

END_OF_TEXT = "<|endoftext|>"
"""The only special token; its id is 0. A text that spells it out is read as the token."""


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Trains a byte-pair encoding that can encode any text and give it back unchanged.

    Every digit is its own token, so that a sum looks the same wherever it stands. No token
    is put in front of a text: where a context begins is for the caller to mark.

    Args:
        texts: Documents to learn the merges from.
        vocab_size: Number of tokens, among them the 256 bytes and the special token.

    Returns:
        The tokenizer.
    """
    tokenizer = Tokenizer(models.BPE())
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [digits, pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        # All bytes, seen in the corpus or not: nothing is ever out of the vocabulary.
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
