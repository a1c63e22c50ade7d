"""The page of a codelength: each number it shows is the one that it says it shows."""

import re

import html_page
import numpy as np
import pytest

from sah_jax.reports import codelength, codelength_page
from sah_jax.studies.codelength import Codelength, TextCosts


def _text(pieces, ideal, quantised):
    return TextCosts("name", "".join(pieces), (*pieces, ""), tuple(range(len(pieces), -1, -1)),
                     np.array(ideal, float), np.array(quantised, float))


# Ideal and quantised costs are of different levels of the scale and in different orders.
TEXTS = (_text(("Tom", " has", " 12"), (3.5, 0.25, 9, 5), (4.5, 0.75, 13, 1.5)),
         _text((), (1,), (2.25,)),
         _text(("one", " day"), (0.4, 20, 7.5), (17.5, 6.5, 8.5)))


@pytest.fixture
def render(tmp_path):
    def page(texts=TEXTS):
        given = Codelength("here", "nano", "abc", "", "", texts, None, {"NPROC": "1"})
        text = codelength.write(given, tmp_path / "out").html.read_text()
        html_page.check_loads_nothing(text)
        return text

    return page


def _rows(page, heading):
    """Returns the cells, HTML as it is, of each row of the table under a heading."""
    body = page.split(f"<h2>{heading}</h2>")[1].split("<tbody>")[1].split("</tbody>")[0]
    return [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in body.split("<tr>")[1:]]


def test_the_spread_is_of_quantised_bits(render):
    rows = _rows(render(), "How the bits are spread")
    # One token of each level but the lowest; two have ideal bits of that.
    assert [(row[1], row[3]) for row in rows] == [("0", "0.0"), *(
        ("1", bits) for bits in ("0.8", "1.5", "2.2", "4.5", "6.5", "8.5", "13.0", "17.5"))]


def test_a_token_says_its_bits_and_those_up_to_it(render):
    page = html_page.Page(render())
    said = [title.split(": ")[-1].removeprefix("‹end› ") for _, title in page.spans]
    assert said[:5] == [
        "4.50 bits, ideally 3.50; 4.5 so far", "0.75 bits, ideally 0.25; 5.2 so far",
        "13.00 bits, ideally 9.00; 18.2 so far", "1.50 bits, ideally 5.00; 19.8 so far",
        "2.25 bits, ideally 1.00; 2.2 so far"]


def test_expensive_tokens_stand_after_what_was_before_them(render):
    rows = _rows(render(), "The most expensive tokens")
    # By quantised bits, the dearest first: before, token, bits, ideal bits, text, position.
    found = [(*re.fullmatch(r"(.*)<b [^>]*>(.*)</b>", row[0]).groups(), float(row[1]), float(row[2]),
              re.sub("<.*?>", "", row[3]), int(row[4])) for row in rows]
    assert found == [
        ("", "one", 17.5, 0.4, "3", 0), ("Tom has", " 12", 13, 9, "1", 2),
        ("one day", "‹end›", 8.5, 7.5, "3", 2), ("one", " day", 6.5, 20, "3", 1),
        ("", "Tom", 4.5, 3.5, "1", 0), ("", "‹end›", 2.25, 1, "2", 0),
        ("Tom has 12", "‹end›", 1.5, 5, "1", 3), ("Tom", " has", 0.75, 0.25, "1", 1)]


def test_before_an_expensive_token_is_only_so_much_of_its_text(render):
    pieces = tuple(f" w{i}" for i in range(10, 30))
    costs = [*range(1, 21), 0]
    (before, *_), *_ = _rows(render((_text(pieces, costs, costs),)), "The most expensive tokens")
    assert before.split("<b")[0] == "".join(pieces[11:19])


def test_only_texts_that_are_shown_are_linked(render, monkeypatch):
    monkeypatch.setattr(codelength_page, "PAGE_TEXTS", 2)
    page = render()
    for heading, column in (("The most expensive tokens", 3), ("Totals by text", 0)):
        cells = {row[column] for row in _rows(page, heading)}
        assert cells == {'<a href="#text-1">1</a>', '<a href="#text-2">2</a>', "3"}
    assert re.findall(r'<h3 id="(.*?)"', page) == ["text-1", "text-2"]


def test_a_text_is_cut_where_the_page_is_full(render, monkeypatch):
    monkeypatch.setattr(codelength_page, "PAGE_TOKENS", 6)
    page = html_page.Page(render())
    assert [shown.strip() for shown, _ in page.spans] == ["Tom", "has", "12", "‹end›", "‹end›", "one"]
    assert "the first 1 of 3 tokens" in page.words
    monkeypatch.setattr(codelength_page, "PAGE_TOKENS", 5)
    page = render()
    assert len(html_page.Page(page).spans) == 5 and 'href="#text-3"' not in page
