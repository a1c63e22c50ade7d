"""The views that sidecars hold: each sums to the file, and tokens have their text."""

import json

import jax
import pytest

from sah_jax.programs import codec, urial
from sah_jax.studies import sidecar, views

TEXT = "Tom has  7 pears,\n\nhéhé 🍐 ten"


@pytest.fixture(scope="module")
def program(nano):
    return codec.write(urial.Urial(), nano.encode(TEXT), nano)


def test_tokens_spell_the_text(nano, program):
    parts = views.parts(program, "token", nano)
    tokens = [part for part in parts if "text" in part]
    # A character of several tokens is no text of any of them.
    whole = [token for token in tokens if "\ufffd" not in token["text"] and token["text"]]
    assert len(whole) > 8 and {"token_id", "text"} <= whole[0].keys()
    assert [nano.decode([token["token_id"]]) for token in whole] == [token["text"] for token in whole]
    assert "".join(token["text"] for token in tokens).startswith("Tom has  7 pears,\n\nh")


def test_views_sum_to_the_file_and_are_json(nano, program):
    found = views.records(program, nano)
    assert found.keys() == {"token"}
    for parts in found.values():
        assert sum(part["bits"] for part in parts) == program.bits
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_base_is_said_with_its_number_of_parameters(nano, program):
    counted = sum(leaf.size for leaf in jax.tree.leaves(nano.params))
    assert views.file_record(program, nano)["base"]["num_params"] == counted > 10**6


def test_a_space_that_a_decoder_strips_at_the_start_is_kept():
    class Base:
        """Decodes as SentencePiece does."""

        def encode(self, text):
            return [0]

        def decode(self, tokens):
            return "".join([" a", " has", ""][token] for token in tokens).removeprefix(" ")

    assert [views._Texts(Base())[token] for token in (0, 1, 2)] == [" a", " has", ""]


@pytest.mark.parametrize("spare, kept", [(0, {"token"}), (-1, set())])
def test_long_views_are_left_out(nano, program, monkeypatch, spare, kept):
    monkeypatch.setattr(sidecar, "MAX_VIEW_PARTS", len(program.view("token")) + spare)
    assert views.records(program, nano).keys() == kept


def test_a_view_that_a_program_has_no_axis_for_is_its_fields(nano, program):
    names = [part["name"] for part in views.parts(program, "layer", nano)]
    assert names == [entry.field for entry in program.ledger]
