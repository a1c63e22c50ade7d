"""Which programs to make next: a search for short ones, in place of a whole grid.

Candidates are settings of families. Two Gaussian processes learn from the programs made so far what length
and score another setting would have; settings of one name mean the same in every family, so that families
learn from each other. A candidate is worth making by its expected constrained improvement (Gardner et al.
2014, "Bayesian Optimization with Inequality Constraints"): how many octaves shorter it would make the
shortest program of a target score, times the probability that it reaches that score, summed over targets.
So a search bisects lengths at the targets, and leaves families alone that cannot get there.
"""

import dataclasses
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sah_jax import errors

SHARES = (0.50, 0.75, 0.90)
"""Default targets, as shares of the best score seen so far."""

_WORTH = 0.01
"""Octaves of expected improvement below which no candidate is worth a run."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A setting of a family."""

    family: str
    setting: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class _Seen:
    number: int  # of the candidate
    octaves: float  # log2 of its length
    score: float


class Search:
    """A search over candidates.

    Args:
      candidates: what may be made, all different.
      targets: scores to reach by short programs; or none, for `shares` of the best score seen.
      shares: see `targets`.

    Raises:
      UserError: there are no candidates, or scikit-learn is not here.
    """

    def __init__(
        self, candidates: Sequence[Candidate], targets: Sequence[float] = (),
        shares: Sequence[float] = SHARES,
    ):
        if not candidates:
            raise errors.UserError(
                "Got no candidates, expected settings to search among; give a config with some.")
        _sklearn()
        self.candidates = list(candidates)
        self._targets, self._shares = tuple(targets), tuple(shares)
        self._features = features(self.candidates)
        self._seen: dict[int, _Seen] = {}
        self._failed: set[int] = set()
        self._preferred: list[int] = []

    def prefer(self, candidates: Sequence[Candidate]) -> None:
        """Says what to make first: what was good elsewhere, such as on another task. Others are ignored."""
        self._preferred += [self.candidates.index(one) for one in candidates if one in self.candidates]

    def knows(self, candidate: Candidate) -> bool:
        """Whether a candidate's program has been told of."""
        return self.candidates.index(candidate) in self._seen

    def tell(self, candidate: Candidate, bits: float, score: float) -> None:
        """Says what a program of a candidate came to: its length and its selection score."""
        number = self.candidates.index(candidate)
        self._seen[number] = _Seen(number, math.log2(max(bits, 1)), score)

    def tell_failed(self, candidate: Candidate) -> None:
        """Says that there is no program of a candidate."""
        self._failed.add(self.candidates.index(candidate))

    def targets(self) -> tuple[float, ...]:
        """Returns the scores that short programs are wanted of, as far as is known."""
        if self._targets or not self._seen:
            return self._targets
        best = max(one.score for one in self._seen.values())
        return tuple(share * best if best > 0 else best for share in self._shares)

    def ask(self, size: int = 1) -> list[Candidate]:
        """Returns candidates to make next, at most so many; none when no more are worth it.

        At first those that are preferred, then one of each family, the one in its middle. Of several at
        once, each is chosen as if those before it had come to what is expected of them.
        """
        asked: list[int] = []
        seen = dict(self._seen)
        for _ in range(size):
            left = [number for number in range(len(self.candidates))
                    if number not in seen and number not in self._failed and number not in asked]
            if not left:
                break
            number = self._first(left, asked)
            if number is None:
                found = self._best(left, seen)
                if found is None:
                    break
                number, octaves, score = found
                seen[number] = _Seen(number, octaves, score)
            asked.append(number)
        return [self.candidates[number] for number in asked]

    def _first(self, left: list[int], asked: list[int]) -> int | None:
        """Returns a preferred candidate, or the middle one of a family of which nothing is known yet."""
        if preferred := [number for number in self._preferred if number in left]:
            return preferred[0]
        known = {self.candidates[number].family for number in (*self._seen, *self._failed, *asked)}
        for family in dict.fromkeys(self.candidates[number].family for number in left):
            if family not in known:
                own = [number for number in left if self.candidates[number].family == family]
                middle = np.mean(self._features[own], axis=0)
                return min(own, key=lambda number: float(np.sum((self._features[number] - middle) ** 2)))
        return None

    def _best(self, left: list[int], seen: Mapping[int, _Seen]) -> tuple[int, float, float] | None:
        """Returns the candidate that is most worth a run, with its expected octaves and score."""
        rows = list(seen.values())
        if not rows:
            return left[0], 0.0, 0.0
        known = self._features[[one.number for one in rows]]
        octaves, octaves_std = _predict(known, [one.octaves for one in rows], self._features[left])
        scores, scores_std = _predict(known, [one.score for one in rows], self._features[left])
        best = max(one.score for one in rows)
        # Of scores that hardly differ, a hundredth of them is no better best.
        spread = max(np.ptp([one.score for one in rows]), 0.1 * abs(best), 1e-9)
        # A better best is worth as much as a program half as long, if it is better by the whole spread.
        worth = _expected_gain(scores - best, scores_std) / spread
        for target in self.targets():
            reached = _above(scores - target, scores_std)
            lengths = [one.octaves for one in rows if one.score >= target]
            gain = _expected_gain(min(lengths) - octaves, octaves_std) if lengths else 1.0
            worth = worth + reached * gain
        place = int(np.argmax(worth))
        if worth[place] < _WORTH:
            return None
        return left[place], float(octaves[place]), float(scores[place])


def features(candidates: Sequence[Candidate]) -> np.ndarray:
    """Returns what settings are to a Gaussian process, float64 [candidates, features].

    A number is put between 0 and 1, by its logarithm where its values span more than a factor of four; what
    a setting does not have is in the middle. Everything else, the family too, has a feature a value.
    """
    columns = [np.array([float(one.family == family) for one in candidates])
               for family in dict.fromkeys(one.family for one in candidates)]
    for name in dict.fromkeys(name for one in candidates for name in one.setting):
        values = [one.setting.get(name) for one in candidates]
        given = [value for value in values if value is not None]
        if len(set(map(repr, given))) < 2:
            continue
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in given):
            columns.append(_scaled(values))
        else:
            columns += [np.array([float(repr(value) == one) for value in values])
                        for one in dict.fromkeys(map(repr, given))]
    return np.stack(columns, axis=1)


def _scaled(values: Sequence[float | None]) -> np.ndarray:
    given = np.array([value for value in values if value is not None], float)
    turn = np.log if given.min() > 0 and given.max() > 4 * given.min() else np.asarray
    low, high = turn(given).min(), turn(given).max()
    return np.array([0.5 if value is None else (turn(float(value)) - low) / (high - low) for value in values])


def _predict(known: np.ndarray, values: Sequence[float], asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and standard deviation of a Gaussian process: a linear trend, a smooth rest and noise."""
    process, kernels = _sklearn()
    kernel = (
        kernels.ConstantKernel(1.0, (0.1, 10.0)) * kernels.DotProduct(1.0, (0.1, 10.0))
        + kernels.ConstantKernel(0.3, (0.01, 3.0)) * kernels.RBF(0.7, (0.3, 3.0))
        + kernels.WhiteKernel(0.01, (1e-4, 0.1)))
    center = np.mean(values)
    scale = np.std(values) or 0.1 * abs(center) or 1.0
    model = process.GaussianProcessRegressor(kernel, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a parameter is at its bound
        model.fit(known, (np.asarray(values) - center) / scale)
        mean, deviation = model.predict(asked, return_std=True)
    return mean * scale + center, np.maximum(deviation * scale, 1e-9)


def _above(margin: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Returns the probability that a normal variable of this mean is above 0."""
    return np.array([0.5 * math.erfc(-z / math.sqrt(2)) for z in margin / deviation])


def _expected_gain(margin: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Returns the mean of the positive part of a normal variable."""
    z = margin / deviation
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    return margin * _above(margin, deviation) + deviation * density


def _sklearn():
    try:
        from sklearn import gaussian_process
        from sklearn.gaussian_process import kernels
    except ImportError as error:
        raise errors.UserError(
            "sah search needs the package scikit-learn, which is not here; pip install 'sah_jax[search]'."
        ) from error
    return gaussian_process, kernels
