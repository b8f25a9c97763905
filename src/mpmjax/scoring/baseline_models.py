"""Seven ways to say how unusual a cell is, each fitted to the sample alone: the models behind `baselines`.

All take complete memberships x float64 [n, L], missing layers filled by the caller, and return a score of such cells,
high where a cell is unlike the sample. Memberships share the range 0..1 and are not scaled again: dividing by the
spread would blow up layers that are all but constant, and these drown the others.

| model            | score |
|------------------|---|
| isolation_forest | 2^(-E(depth) / c(256)) over 100 trees of 256 cells |
| mahalanobis      | (x - m)' S^-1 (x - m), m the mean, S the covariance shrunk by Ledoit and Wolf |
| pca              | mean squared residual of x after projection on d principal components |
| kmeans_distance  | distance to the nearest of 8 centres |
| gmm              | -log density of a mixture of 8 Gaussians with full covariances |
| som              | distance to the nearest node of a 10 x 10 self-organising map |
| autoencoder      | mean squared residual of a perceptron L-32-d-32-L trained to return its input |

d = max(1, min(8, L // 2)), as in the LSTM autoencoder. Residuals are averaged over the layers that a cell has.

Sources: Liu, Ting and Zhou (2008), Isolation forest, ICDM; Ledoit and Wolf (2004), A well-conditioned estimator for
large-dimensional covariance matrices, J. Multivariate Analysis 88; Jackson and Mudholkar (1979), Control procedures for
residuals associated with principal component analysis, Technometrics 21; Kohonen (1982), Self-organized formation of
topologically correct feature maps, Biological Cybernetics 43; Kramer (1991), Nonlinear principal component analysis
using autoassociative neural networks, AIChE Journal 37.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from minisom import MiniSom
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.neural_network import MLPRegressor

CENTRES = 8
RESTARTS = 4
HIDDEN = 32
SOM_SIDE, SOM_REACH = 10, 2
SOM_STEPS = 20_000
SLOW_CELLS = 20_000
"""Cells at most that the two slow models, gmm and autoencoder, are fitted on; the others take the whole sample."""

Unusual = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(x float64 [n, L] complete, valid bool [n, L]: what was there before filling) -> float64 [n], high = unusual."""


@dataclass(frozen=True)
class Missing:
    """A rival that cannot be had here, and why. Reported, never left out in silence."""

    reason: str


def bottleneck(layers: int) -> int:
    """d, the latent size that the LSTM autoencoder has for so many layers."""
    return max(1, min(8, layers // 2))


def shrunk_covariance(x: np.ndarray, share: float | None = None) -> np.ndarray:
    """Covariance float64 [L, L] of x [n, L], drawn by `share` to the identity times the mean variance.

    None for the share of Ledoit and Wolf, which allows for the noise of a small sample and is about 1e-3 for 20,000
    cells. A last 1e-6 of the mean variance goes onto the diagonal, so that twins among the layers leave an inverse.
    """
    layers = x.shape[1]
    if share is None:
        covariance = np.asarray(LedoitWolf().fit(x).covariance_)
    else:
        plain = np.cov(x, rowvar=False, bias=True).reshape(layers, layers)
        covariance = (1.0 - share) * plain + share * np.trace(plain) / layers * np.eye(layers)
    return covariance + np.eye(layers) * max(1e-9, 1e-6 * np.trace(covariance) / layers)


def isolation_forest(x: np.ndarray, seed: int) -> Unusual:
    """scikit-learn's forest; each tree draws its own 256 cells of the whole sample."""
    forest = IsolationForest(random_state=seed).fit(x)
    return lambda cells, _: -forest.score_samples(cells)


def mahalanobis(x: np.ndarray, _seed: int) -> Unusual:
    """Squared distance to the sample's mean."""
    mean, precision = x.mean(axis=0), np.linalg.inv(shrunk_covariance(x))
    return lambda cells, _: np.einsum("ni,ij,nj->n", cells - mean, precision, cells - mean, optimize=True)


def pca(x: np.ndarray, _seed: int) -> Unusual | Missing:
    """Exact components by a full SVD."""
    components = bottleneck(x.shape[1])
    if components >= x.shape[1]:
        return Missing("one layer leaves no residual: its one component is the layer itself")
    model = PCA(min(components, len(x)), svd_solver="full").fit(x)
    return lambda cells, valid: _residual(cells, model.inverse_transform(model.transform(cells)), valid)


def kmeans_distance(x: np.ndarray, seed: int) -> Unusual:
    """The best of four fits of 8 centres; as many centres as different cells where those are fewer."""
    fits = [KMeans(_parts(x), random_state=seed + restart).fit(x) for restart in range(RESTARTS)]
    centres = min(fits, key=lambda fit: float(fit.inertia_ or 0.0)).cluster_centers_
    return lambda cells, _: cdist(cells, centres).min(axis=1)


def gmm(x: np.ndarray, seed: int) -> Unusual:
    """Full covariances, 1e-4 on their diagonals; one that has not quite converged still is a density."""
    mixture = GaussianMixture(_parts(x), reg_covar=1e-4, init_params="k-means++", max_iter=200, random_state=seed)
    with _quietly():
        mixture.fit(x)
    return lambda cells, _: -mixture.score_samples(cells)


def som(x: np.ndarray, seed: int) -> Unusual:
    """MiniSom's map, trained on cells in random order; the distance is the quantization error of the cell."""
    model = MiniSom(SOM_SIDE, SOM_SIDE, x.shape[1], sigma=SOM_REACH, learning_rate=0.5, random_seed=seed)
    model.random_weights_init(x)
    model.train(x, SOM_STEPS, random_order=True)
    nodes = np.asarray(model.get_weights(), np.float64).reshape(-1, x.shape[1])
    return lambda cells, _: cdist(cells, nodes).min(axis=1)


def autoencoder(x: np.ndarray, seed: int) -> Unusual | Missing:
    """tanh units, Adam, stopped when a tenth of the cells that is held out gains no more."""
    layers = x.shape[1]
    if bottleneck(layers) >= layers:
        return Missing("one layer leaves no residual: its bottleneck is as wide as the layer")
    model = MLPRegressor(
        hidden_layer_sizes=(HIDDEN, bottleneck(layers), HIDDEN),
        activation="tanh",
        learning_rate_init=3e-3,
        max_iter=200,
        tol=1e-5,
        early_stopping=len(x) >= FEWEST_HELD_OUT,
        n_iter_no_change=10,
        random_state=seed,
    )
    with _quietly():
        model.fit(x, x)
    return lambda cells, valid: _residual(cells, np.asarray(model.predict(cells)), valid)


FEWEST_HELD_OUT = 100
"""Cells below which holding a tenth out would stop the training by chance."""


def drawn(x: np.ndarray, most: int, seed: int) -> np.ndarray:
    """At most so many rows, without replacement; all of them in their order where they are not more."""
    if len(x) <= most:
        return x
    return x[np.sort(np.random.default_rng(seed).choice(len(x), most, replace=False))]


def _residual(x: np.ndarray, rebuilt: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Mean squared residual over the valid layers of each cell; what was filled in can be no anomaly."""
    return np.where(valid, (x - rebuilt) ** 2, 0.0).sum(axis=1) / np.maximum(valid.sum(axis=1), 1)


def _parts(x: np.ndarray) -> int:
    return min(CENTRES, len(np.unique(x, axis=0)))


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the warning that a fit stopped at its last iteration, which spoils no ranking."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
