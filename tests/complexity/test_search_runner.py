"""What a search is told of the programs that it made."""

import dataclasses

import pytest
import row_template

from sah_jax.complexity import search, search_runner


class _Told(dict):
    def tell(self, candidate, bits, score, seconds):
        self[candidate.family] = bits, score, seconds


@pytest.mark.parametrize("add_script_bits, expected", [(True, 1600), (False, 600)])
def test_lengths_are_means_over_seeds_as_reports_count_them(add_script_bits, expected):
    candidates = [search.Candidate("icl", {"num_examples": 2}), search.Candidate("icl", {"num_examples": 3})]
    made = [dataclasses.replace(
        row_template.TEMPLATE, experiment_name="icl", strategy_hparams={"num_examples": 2}, seed=seed,
        bits=bits, script_bits=1000, performance=0.9, selection_performance=score, wall_time_s=1.0 + 2 * seed)
        for seed, (bits, score) in enumerate([(400, 0.25), (800, 0.75)])]
    told = _Told()
    search_runner._tell(told, candidates, made, add_script_bits)
    # Nothing of the candidate that was not made.
    assert told == {"icl": (expected, 0.5, 2.0)}
