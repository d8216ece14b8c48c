"""The one robust fit behind every law: a sum of powers in log-sum-exp form.

log L = log( exp(e) + sum_k exp(a_k - alpha_k log x_k) ), fitted by minimising the *sum* over points
of Huber(delta) of the residual. (Averaged instead of summed, the objective is so small that the
optimiser's tolerance stops it early: the likely cause of the original Chinchilla intervals, see
arXiv 2404.10102. For the same reason it is divided by delta squared here.)

theta = [e, a_1, alpha_1, a_2, alpha_2, ...]; K powers, P points.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import huber

Floats = NDArray[np.float64]

EXPONENT_BOUNDS = (0.005, 3.0)
NUM_DESCENTS = 24  # starts that are followed to their end, the best of the grid
_NO_OFFSET = -1e3  # log of an offset that is 0 in double precision
_TOLERANCES = {"maxiter": 5_000, "maxfun": 20_000, "ftol": 1e-10, "gtol": 1e-6}


@dataclass(frozen=True)
class SumOfPowers:
    """Data of one fit: `log_x_KP`, `log_loss_P`, and whether an offset E = exp(e) is fitted."""

    log_x_KP: Floats  # noqa: N815
    log_loss_P: Floats  # noqa: N815
    delta: float
    has_offset: bool = True

    def log_fitted(self, thetas: Floats) -> Floats:
        """Log of the fitted loss, [starts, points], for thetas of shape [starts, 1 + 2K]."""
        return np.asarray(np.logaddexp.reduce(self._terms(thetas), axis=1))

    def _terms(self, thetas: Floats) -> Floats:
        """Log of every term, [starts, 1 + K, points]; the offset comes first."""
        powers = thetas[:, 1::2, None] - thetas[:, 2::2, None] * self.log_x_KP
        offset = np.broadcast_to(thetas[:, :1, None], (len(thetas), 1, self.log_loss_P.size))
        return np.concatenate([offset, powers], axis=1)

    def residuals(self, theta: Floats) -> Floats:
        """Fitted minus observed log loss, [points]."""
        return np.asarray(self.log_fitted(theta[None])[0] - self.log_loss_P)

    def objective(self, theta: Floats) -> tuple[float, Floats]:
        """Summed Huber loss over delta squared, and its gradient."""
        terms = self._terms(theta[None])[0]
        log_fitted = np.logaddexp.reduce(terms, axis=0)
        shares = np.exp(terms - log_fitted)
        residuals = log_fitted - self.log_loss_P
        pulls = shares * np.clip(residuals, -self.delta, self.delta)
        gradient = np.empty_like(theta)
        gradient[0] = pulls[0].sum()
        gradient[1::2] = pulls[1:].sum(axis=1)
        gradient[2::2] = -(pulls[1:] * self.log_x_KP).sum(axis=1)
        value = float(huber(self.delta, residuals).sum())
        return value / self.delta**2, gradient / self.delta**2

    def descend(self, start: Floats) -> tuple[float, Floats]:
        """L-BFGS within bounds from one start: objective and theta."""
        lowest, highest = float(self.log_loss_P.min()), float(self.log_loss_P.max())
        offset = (lowest - 12, highest) if self.has_offset else (_NO_OFFSET, _NO_OFFSET)
        bounds = [offset, *[(None, None), EXPONENT_BOUNDS] * len(self.log_x_KP)]
        found = minimize(
            self.objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=_TOLERANCES
        )
        return float(found.fun), np.asarray(found.x, dtype=np.float64)

    def solve(self, starts: Floats) -> Floats:
        """The best theta; all starts [starts, 1 + 2K] are rated, the best are followed."""
        ratings = [
            huber(self.delta, self.log_fitted(chunk) - self.log_loss_P).sum(axis=1)
            for chunk in np.array_split(starts, -(-len(starts) // 256))
        ]
        best = np.argsort(np.concatenate(ratings), kind="stable")[:NUM_DESCENTS]
        return min((self.descend(start) for start in starts[best]), key=lambda found: found[0])[1]

    def chosen(self, points: NDArray[np.int64]) -> SumOfPowers:
        """The same fit of a choice of points, with repetition."""
        return replace(self, log_x_KP=self.log_x_KP[:, points], log_loss_P=self.log_loss_P[points])
