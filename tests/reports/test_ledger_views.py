"""The views of a program on a page: every part is there, and the parts sum to the file."""

import hypothesis
import pytest
from hypothesis import strategies as st

from sah_jax.reports import ledger_views, pages, parts, style

SETTINGS = hypothesis.settings(derandomize=True, deadline=None, max_examples=60)
HEADER, END = parts.Part("version", 4, 4.0), parts.Part("termination", 3, 0.0)
COLORS = {"q": "#111111", "v": "#222222"}


def _token(name, bits, text="x"):
    return parts.Part(name, bits, float(bits), 5, text)


def _draw(by, found):
    [view] = ledger_views.draw({by: found}, {by}, COLORS)
    return view


def test_tokens_are_put_together_as_texts():
    # As the coder has them: position 0 of every row, then position 1, and so on.
    view = _draw("token", [
        HEADER, _token("cue, token 0", 2, "a"), _token("example 0 token 0", 3, "b"),
        _token("example 10 token 0", 5, "c"), _token("example 0 token 1", 1, ""),
        _token("example 10 token 1", 7, "d"), END])
    assert [(text["name"], text["bits"], "".join(span.text for span in text["spans"]))
            for text in view["texts"]] == [
                ("cue", 2, "a"), ("example 0", 4, "b‹end›"), ("example 10", 12, "cd")]
    assert view["rest"] == [HEADER, END] and (view["text_bits"], view["rest_bits"]) == (18, 7)
    assert view["texts"][2]["spans"][1].title == "'d': 7 bits, ideally 7.00"


def test_tensors_take_the_colour_of_their_field():
    view = _draw("tensor", [HEADER, parts.Part("q, layer 0", 5, 5.0), parts.Part("v, layer 0", 5, 5.0)])
    assert [bar["color"] for bar in view["bars"]] == [style.REST_COLOR, "#111111", "#222222"]
    view = _draw("layer", [HEADER, parts.Part("layer 0", 5, 5.0)])
    assert [bar["color"] for bar in view["bars"]] == [style.REST_COLOR, style.FIELD_COLORS[0]]


NAMES = st.sampled_from([
    "layer {}", "q, layer {}", "example {}", "example 1 token {}", "a, token {}", "b{}", "{}"])
PARTS = st.lists(st.tuples(NAMES, st.integers(0, 99), st.one_of(st.none(), st.text(max_size=5))), max_size=40)


@SETTINGS
@hypothesis.given(PARTS)
def test_every_part_is_drawn_and_all_sum_to_the_file(made):
    found = [parts.Part(name.format(i), bits, float(bits), None if text is None else i, text)
             for i, (name, bits, text) in enumerate(made)]
    drawn = ledger_views.draw({"token": found}, {"token"}, {})
    total = sum(part.bits for part in found)
    for view in drawn:
        if view["kind"] == "text":
            assert view["text_bits"] + view["rest_bits"] == total
            assert view["tokens"] + len(view["rest"]) == len(found)
        else:
            assert sum(bar["bits"] for bar in view["bars"]) == total and len(view["bars"]) == len(found)
            assert sum(bar["share"] for bar in view["bars"]) == pytest.approx(1 if total else 0)
            assert all(0 <= bar["height"] <= 1 for bar in view["bars"])
    assert len(drawn) == (1 if found else 0)


def test_long_texts_are_folded_and_short_ones_are_not():
    few, many = ([_token(f"a, token {i}", 1) for i in range(n)] for n in (20, 2000))
    assert _draw("token", few)["open"] and not _draw("token", many)["open"]


def test_a_page_holds_only_so_much(monkeypatch):
    monkeypatch.setattr(ledger_views, "PAGE_PARTS", 10)
    views = {3: {"layer": [HEADER] * 6, "token": [HEADER] * 5}, 1: {"layer": [HEADER] * 4},
             2: {"layer": [END]}}
    # In the order given; what no longer fits is left out, what is smaller may still fit.
    assert ledger_views.select(views) == {3: {"layer"}, 1: {"layer"}, 2: set()}
    drawn = ledger_views.draw(views[3], {"layer"}, {})
    assert [(view["by"], view["kind"]) for view in drawn] == [("layer", "bars"), ("token", "left out")]


def test_what_is_left_out_is_said():
    macro = ("{% import 'views.html.j2' as views %}"
             "{{ views.show({'by': 'token', 'kind': 'left out'}, 'p.sah') }}")
    pages_text = pages.environment().from_string(macro).render()
    assert "sah inspect p.sah --by=token" in pages_text
