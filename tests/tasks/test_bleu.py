"""Corpus BLEU is sacrebleu's, pooled over the items, with an error that shrinks with them."""

import math

import pytest
import sacrebleu

from sah_jax.errors import UserError
from sah_jax.tasks import bleu

REFERENCES = ["Le chat dort dans la maison.", "Nous voyons deux oiseaux rouges.", "Il mange une pomme."]
RESPONSES = ["Le chat dort dans le maison.", "Nous voyons deux oiseaux.", "Il mange une pomme."]


def test_the_value_is_pooled_and_the_outcomes_are_single():
    score = bleu.score(RESPONSES, REFERENCES)
    assert score.value == pytest.approx(sacrebleu.corpus_bleu(RESPONSES, [REFERENCES]).score)
    expected = [sacrebleu.sentence_bleu(one, [other]).score
                for one, other in zip(RESPONSES, REFERENCES, strict=True)]
    assert score.outcomes == pytest.approx(expected)
    assert score.value != pytest.approx(sum(expected) / 3)


def test_the_standard_error_is_repeatable_and_shrinks_with_the_items():
    few, many = bleu.score(RESPONSES, REFERENCES), bleu.score(RESPONSES * 16, REFERENCES * 16)
    assert few.stderr == bleu.score(RESPONSES, REFERENCES).stderr
    assert 0 < many.stderr < few.stderr / 2
    assert math.isnan(bleu.score(RESPONSES[:1], REFERENCES[:1]).stderr)


def test_nothing_to_score_is_named():
    with pytest.raises(UserError, match="at least one"):
        bleu.score([], [])
