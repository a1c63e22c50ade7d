"""The page of a study's progress says what is known of it, and takes no name for markup."""

import io

import pytest
import rich.console
import rich.progress_bar
import row_template

from sah_jax.reports import status as page_lib
from sah_jax.studies import claims, status

CLAIM = claims.Claim("[red]host", 12, "0", "", 60.0)


def _said(**changes):
    known = dict(total=10, verified=2, refuted=1, pending=1, failed={"e": "it [bold]diverged"},
                 working={"f": CLAIM, "g": CLAIM}, latest=(row_template.TEMPLATE,) * 2, mean_s=10.0)
    out = io.StringIO()
    rich.console.Console(file=out, width=120).print(page_lib.page(status.Status(**{**known, **changes})))
    return out.getvalue()


def test_the_page_says_how_far_it_is_and_who_works():
    said = _said()
    assert "\n2 of 10 points verified, 1 wait for their verdict, 1 failed, about 1 min 10 s left" in said
    assert "failed: it [bold]diverged" in said and "[red]host" in said and said.count("yes") == 2


def test_what_is_not_known_is_left_out():
    said = _said(total=0, pending=0, failed={}, working={}, latest=())
    assert said == "2 points verified\n"


@pytest.mark.parametrize("failed, share", [({}, 0.25), ({"e": "it diverged"}, 0.5)])
def test_the_bar_is_as_long_as_what_needs_no_more_work(failed, share):
    bar = _said(total=4, verified=1, failed=failed, working={}, latest=()).splitlines()[0]
    plain = rich.progress_bar.ProgressBar(total=4, completed=4 * share, width=60)
    out = io.StringIO()
    rich.console.Console(file=out, width=120).print(plain)
    assert bar.rstrip() == out.getvalue().rstrip() and 0 < len(bar.rstrip()) <= 60
