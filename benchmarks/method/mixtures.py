"""How often the number of groups is right where there is a right one: mixtures of Gaussians that overlap by 5 %.

    python -m mpmjax.benchmarks.method.mixtures --mixtures 100 --singles 20 > table.md

Every mixture has 5,000 points in 4 or 8 dimensions and 2 to 8 clusters of their own shape (axes up to 3 : 1 in length)
and weight (0.05 to 0.5, to 0.55 of two). A cluster is placed in a random direction from one that stands, so far off
that between the two 5 % of the points are misclassified by the best possible rule, which knows the mixture; from every
other cluster it is at least as far. So each cluster but the first has a neighbour at 5 %. Points are standardised by
dimension, as all methods get them.

Asked are the package (`choose` of scoring/criteria.py, without an ensemble); its message length alone, by merging and
by ordinary restarts; BIC by the same restarts, scikit-learn's GaussianMixture of 1 to 10 components, the likelihood's
best of three starts each; and, over k-means of 2 to 10 groups, silhouette, Davies-Bouldin, Calinski-Harabasz and
bootstrap stability, each alone, as `choose` computes them. The single Gaussians ask who sees groups where there are
none; the four on k-means cannot answer that.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from mpmjax.scoring.criteria import HIGHER_IS_BETTER, MOST, choose
from mpmjax.scoring.mixture import message_length

POINTS = 5_000
DIMENSIONS = (4, 8)
CLUSTERS = range(2, 9)
MISCLASSIFIED = 0.05
LEAST_WEIGHT, MOST_WEIGHT = 0.05, 0.5
AXES = 3.0
"""Longest axis of a cluster over its shortest, at most."""
STARTS = 3
DRAWS = 4_000
"""Points of each cluster on which a misclassification is counted."""

CURVES = {
    "message length, merging": "message_length",
    "silhouette, k-means": "silhouette",
    "Davies-Bouldin, k-means": "davies_bouldin",
    "Calinski-Harabasz, k-means": "calinski_harabasz",
    "bootstrap stability, k-means": "stability",
}
OURS = "the package"
RESTARTED = ("message length, restarts", "BIC, restarts")
METHODS = (OURS, *CURVES, *RESTARTED)
NEVER_ONE = tuple(CURVES)[1:]


@dataclass(frozen=True)
class Mixture:
    """weights [K], means [K, d], lower [K, d, d] with lower lower^T the covariance."""

    weights: np.ndarray
    means: np.ndarray
    lower: np.ndarray

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Points [n, d] and the clusters int [n] that they are of."""
        labels = rng.choice(len(self.weights), n, p=self.weights)
        standard = rng.normal(size=(n, self.means.shape[1]))
        return self.means[labels] + np.einsum("nij,nj->ni", self.lower[labels], standard), labels


@dataclass(frozen=True)
class Answer:
    """What the methods say of one set of points.

    Attributes:
        clusters: there are; dimensions: of the points.
        found: number of groups by method.
    """

    clusters: int
    dimensions: int
    found: dict[str, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mixtures", type=int, default=100)
    parser.add_argument("--singles", type=int, default=20)
    asked = parser.parse_args()
    answers = []
    for number in range(asked.mixtures + asked.singles):
        began = time.perf_counter()
        # Every 14 mixtures hold each pair of dimensions and clusters once.
        d, clusters = DIMENSIONS[number % 2], CLUSTERS[number // 2 % len(CLUSTERS)]
        clusters = clusters if number < asked.mixtures else 1
        answers.append(answer(mixture(np.random.default_rng(number), d, clusters), number))
        print(number, time.perf_counter() - began, answers[-1], file=sys.stderr, flush=True)
    print(table(answers))


def answer(made: Mixture, seed: int, points: int = POINTS) -> Answer:
    """Ask every method about points drawn from a mixture."""
    drawn, _ = made.draw(points, np.random.default_rng([1, seed]))
    drawn = (drawn - drawn.mean(axis=0)) / drawn.std(axis=0)
    choice = choose(drawn, seed)
    found = {OURS: int(choice.labels.max()) + 1}
    for method, name in CURVES.items():
        values = np.array([np.nan if value is None else value for value in choice.curves[name]])
        best = np.nanargmax(values) if HIGHER_IS_BETTER[name] else np.nanargmin(values)
        found[method] = int(best) + 1
    restarted = [_restarted(drawn, k, seed) for k in range(1, MOST + 1)]
    for method, lengths in zip(RESTARTED, np.transpose(restarted), strict=True):
        found[method] = int(np.argmin(lengths)) + 1
    return Answer(len(made.weights), drawn.shape[1], found)


def _restarted(points: np.ndarray, k: int, seed: int) -> tuple[float, float]:
    """Message length and BIC of the best mixture of several starts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # as whoever takes the defaults gets it
        fitted = GaussianMixture(k, n_init=STARTS, random_state=seed).fit(points)
    return message_length(fitted, points), float(fitted.bic(points))


def mixture(rng: np.random.Generator, d: int, clusters: int) -> Mixture:
    """A mixture as the head of this file says."""
    weights = _weights(rng, clusters)
    lower = np.stack([_shape(rng, d) for _ in range(clusters)])
    standard = rng.normal(size=(DRAWS, d))
    means = [np.zeros(d)]
    while len(means) < clusters:
        k, neighbour = len(means), int(rng.integers(len(means)))
        direction = rng.normal(size=d)
        direction /= np.linalg.norm(direction)

        def wrong(other: int, mean: np.ndarray, k: int = k) -> float:
            pair = [other, k]
            means_of_pair = np.stack([means[other], mean])
            return misclassified(Mixture(weights[pair], means_of_pair, lower[pair]), standard)

        near, far = 0.0, 12.0
        for _ in range(18):
            middle = (near + far) / 2
            if wrong(neighbour, means[neighbour] + middle * direction) > MISCLASSIFIED:
                near = middle
            else:
                far = middle
        placed = means[neighbour] + far * direction
        # A direction in which another cluster stands in the way is drawn again; there is always one that leads out.
        if all(wrong(other, placed) <= MISCLASSIFIED for other in range(k)):
            means.append(placed)
    return Mixture(weights, np.stack(means), lower)


def misclassified(pair: Mixture, standard: np.ndarray) -> float:
    """Share of the points of two clusters that the likelier cluster is not theirs: Bayes' error of the pair.

    Args:
        standard: [n, d] standard normal points, the same for all pairs, so that it falls steadily with the distance.
    """
    share = pair.weights / pair.weights.sum()
    errors = []
    for own, other in ((0, 1), (1, 0)):
        points = pair.means[own] + standard @ pair.lower[own].T
        errors.append(np.mean(_log_density(pair, own, points) < _log_density(pair, other, points)))
    return float(share @ errors)


def _log_density(made: Mixture, k: int, points: np.ndarray) -> np.ndarray:
    """Of cluster k with its weight, less a constant."""
    standard = np.linalg.solve(made.lower[k], (points - made.means[k]).T)
    return np.log(made.weights[k]) - 0.5 * (standard**2).sum(axis=0) - np.linalg.slogdet(made.lower[k])[1]


def _weights(rng: np.random.Generator, clusters: int) -> np.ndarray:
    most = max(MOST_WEIGHT, 1 / clusters + LEAST_WEIGHT)  # two weights of 0.5 at most would always be equal
    while True:
        weights = rng.dirichlet(np.full(clusters, 2.0))
        if clusters == 1 or (weights.min() >= LEAST_WEIGHT and weights.max() <= most):
            return weights


def _shape(rng: np.random.Generator, d: int) -> np.ndarray:
    turned = np.linalg.qr(rng.normal(size=(d, d)))[0]
    axes = np.exp(np.log(AXES) * rng.uniform(-0.5, 0.5, d))
    return np.linalg.cholesky(turned * axes**2 @ turned.T)


def table(answers: Sequence[Answer]) -> str:
    """Markdown: a row a method, the share of right numbers in the mixtures, in parts of them, and in single clouds."""
    mixtures = [given for given in answers if given.clusters > 1]
    parts = {
        f"right K ({len(mixtures)})": mixtures,
        **{f"d = {d}": [given for given in mixtures if given.dimensions == d] for d in DIMENSIONS},
        "K 2 to 4": [given for given in mixtures if given.clusters <= 4],
        "K 5 to 8": [given for given in mixtures if given.clusters > 4],
    }
    singles = [given for given in answers if given.clusters == 1]
    lines = [f"| method | {' | '.join(parts)} | too few | too many | no groups ({len(singles)}) |"]
    lines.append("|---" * (len(parts) + 4) + "|")
    for method in METHODS:
        shares = [_share([given.found[method] == given.clusters for given in part]) for part in parts.values()]
        shares.append(_share([given.found[method] < given.clusters for given in mixtures]))
        shares.append(_share([given.found[method] > given.clusters for given in mixtures]))
        shares.append("–" if method in NEVER_ONE else _share([given.found[method] == 1 for given in singles]))
        lines.append(f"| {method} | {' | '.join(shares)} |")
    return "\n".join(lines) + "\n"


def _share(right: Sequence[bool]) -> str:
    return f"{np.mean(right):.2f}" if right else "?"


if __name__ == "__main__":
    main()
