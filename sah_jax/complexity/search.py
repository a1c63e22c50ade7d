"""Which programs to make next: a search for short ones, in place of a whole grid.

Candidates are settings of families. Gaussian processes learn from the programs made so far what length and
score another setting would have; settings of one name mean the same in every family, so that families learn
from each other. Which settings matter, and how far apart families are, a dozen programs do not tell: so
predictions are a mean over many kernels, each as likely as it makes what was seen.

A candidate is worth making by its expected constrained improvement (Gardner et al. 2014, "Bayesian
Optimization with Inequality Constraints"): how many octaves shorter it would make the shortest program of a
target score, times the probability that it reaches that score, summed over targets. So a search bisects
lengths at the targets, and leaves families alone that cannot get there. Where time is short, that is per
expected second, the less so the less of it is left (Lee et al. 2020, "Cost-aware Bayesian Optimization"):
what is dear waits, and is still made when nothing cheap does as well.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sah_jax import errors

SHARES = (0.50, 0.75, 0.90)
"""Default targets, as shares of the best score seen so far."""

_WORTH = 0.01
"""Octaves of expected improvement below which no candidate is worth a run."""

_FIRST = 5
"""Families that are tried before anything is predicted; the others when they are worth it."""

_KERNELS = 64
"""Kernels that a prediction is a mean over."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A setting of a family."""

    family: str
    setting: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class _Seen:
    octaves: float  # log2 of its length
    score: float
    cost: float  # log2 of the seconds it took


class Search:
    """A search over candidates.

    Args:
      candidates: what may be made, all different.
      targets: scores to reach by short programs; or none, for `shares` of the best score seen.
      shares: see `targets`.
      seed: of the kernels that predictions are a mean over.

    Raises:
      UserError: there are no candidates, or scikit-learn is not here.
    """

    def __init__(
        self, candidates: Sequence[Candidate], targets: Sequence[float] = (),
        shares: Sequence[float] = SHARES, seed: int = 0,
    ):
        if not candidates:
            raise errors.UserError(
                "Got no candidates, expected settings to search among; give a config with some.")
        _sklearn()
        self.candidates = list(candidates)
        self._targets, self._shares, self._seed = tuple(targets), tuple(shares), seed
        self._families = len({one.family for one in self.candidates})
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

    def tell(self, candidate: Candidate, bits: float, score: float, seconds: float = 1.0) -> None:
        """Says what a program of a candidate came to: its length, its selection score, the time it took."""
        self._seen[self.candidates.index(candidate)] = _Seen(
            math.log2(max(bits, 1)), score, math.log2(max(seconds, 1e-3)))

    def tell_failed(self, candidate: Candidate) -> None:
        """Says that there is no program of a candidate."""
        self._failed.add(self.candidates.index(candidate))

    def targets(self) -> tuple[float, ...]:
        """Returns the scores that short programs are wanted of, as far as is known."""
        if self._targets or not self._seen:
            return self._targets
        best = max(one.score for one in self._seen.values())
        return tuple(share * best if best > 0 else best for share in self._shares)

    def ask(self, size: int = 1, thrift: float = 0.0) -> list[Candidate]:
        """Returns candidates to make next, at most so many; none when no more are worth it.

        At first those that are preferred, then one of each of the first families, the one in its middle. Of
        several at once, each is chosen as if those before it had come to what is expected of them.

        Args:
          size: how many.
          thrift: from 0, a second costs nothing, to 1, twice the seconds are worth it for twice the gain.
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
                found = self._best(left, seen, thrift)
                if found is None:
                    break
                number, seen[found[0]] = found
            asked.append(number)
        return [self.candidates[number] for number in asked]

    def _first(self, left: list[int], asked: list[int]) -> int | None:
        """Returns a preferred candidate, or the middle one of a family while few families are known."""
        if preferred := [number for number in self._preferred if number in left]:
            return preferred[0]
        known = {self.candidates[number].family for number in (*self._seen, *self._failed, *asked)}
        new = [number for number in left if self.candidates[number].family not in known]
        if not new or len(known) >= _FIRST:
            return None
        own = [number for number in new if self.candidates[number].family == self.candidates[new[0]].family]
        middle = np.mean(self._features[own], axis=0)
        return min(own, key=lambda number: float(np.sum((self._features[number] - middle) ** 2)))

    def _best(self, left: list[int], seen: Mapping[int, _Seen], thrift: float) -> tuple[int, _Seen] | None:
        """Returns the candidate that is most worth a run, with what is expected of it."""
        rows = list(seen.values())
        if not rows:
            return left[0], _Seen(0.0, 0.0, 0.0)
        means, deviations = self._predict(list(seen), [dataclasses.astuple(one) for one in rows], left)
        (octaves, scores, costs), (octaves_std, scores_std, _) = means.T, deviations.T
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
        if np.max(worth) < _WORTH:
            return None
        place = int(np.argmax(np.where(worth >= _WORTH, worth * 2.0 ** (-thrift * costs), 0.0)))
        return left[place], _Seen(*map(float, means[place]))

    def _predict(
        self, known: Sequence[int], values: Sequence[Sequence[float]], asked: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns means and standard deviations [asked, values] of Gaussian processes, one a value.

        Args:
          known: the candidates whose values are known.
          values: those, [known, values].
          asked: the candidates whose values are asked for.
        """
        process, kernels = _sklearn()
        center, scale = np.mean(values, axis=0), np.std(values, axis=0)
        scale = np.where(scale > 0, scale, np.where(center != 0, 0.1 * np.abs(center), 1.0))
        scaled = (np.asarray(values) - center) / scale
        rng = np.random.default_rng(self._seed)
        draw = lambda low, high, size=None: np.exp(rng.uniform(math.log(low), math.log(high), size))
        evidence, means, variances = [], [], []
        for _ in range(_KERNELS):
            # A length scale for what the family is, and one for each feature of settings.
            scales = np.append(
                np.full(self._families, draw(0.3, 5)),
                draw(0.5, 10, self._features.shape[1] - self._families))
            kernel = kernels.ConstantKernel(draw(0.3, 2)) * kernels.RBF(scales) + kernels.ConstantKernel(0.3)
            model = process.GaussianProcessRegressor(kernel, alpha=draw(0.003, 0.1), optimizer=None)
            model.fit(self._features[known], scaled)
            mean, deviation = model.predict(self._features[asked], return_std=True)
            evidence.append(
                -0.5 * np.sum(scaled * model.alpha_, axis=0) - np.sum(np.log(np.diag(model.L_))))
            means.append(mean)
            variances.append(deviation**2)
        shares = np.exp(np.array(evidence) - np.max(evidence, axis=0))[:, None]
        shares /= np.sum(shares, axis=0)
        mean = np.sum(shares * means, axis=0)
        variance = np.sum(shares * (variances + (means - mean) ** 2), axis=0)
        return mean * scale + center, np.maximum(np.sqrt(variance) * scale, 1e-9)


def features(candidates: Sequence[Candidate]) -> np.ndarray:
    """Returns what settings are to a Gaussian process, float64 [candidates, features].

    First a feature a family. A number is put between 0 and 1 by its place among the values of its name: the
    steps of a grid are even. What a setting does not have is in the middle. Everything else has a feature a
    value. Settings within settings, as of `icl+vector`, are taken by their own names.
    """
    columns = [np.array([float(one.family == family) for one in candidates])
               for family in dict.fromkeys(one.family for one in candidates)]
    settings = [_flat(one.setting) for one in candidates]
    for name in dict.fromkeys(name for setting in settings for name in setting):
        values = [setting.get(name) for setting in settings]
        given = [value for value in values if value is not None]
        if len(set(map(repr, given))) < 2:
            continue
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in given):
            steps = sorted(set(given))
            place = {value: step / max(len(steps) - 1, 1) for step, value in enumerate(steps)}
            columns.append(np.array([place.get(value, 0.5) for value in values]))
        else:
            columns += [np.array([float(repr(value) == one) for value in values])
                        for one in dict.fromkeys(map(repr, given))]
    return np.stack(columns, axis=1)


def _flat(setting: Mapping[str, Any]) -> dict[str, Any]:
    flat = {}
    for name, value in setting.items():
        flat |= _flat(value) if isinstance(value, Mapping) else {name: value}
    return flat


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
