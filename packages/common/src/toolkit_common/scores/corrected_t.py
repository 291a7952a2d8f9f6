"""A t interval over the folds of a cross-validation, whose training sets overlap.

Source: Nadeau and Bengio, "Inference for the Generalization Error", Machine Learning 52 (2003),
the corrected resampled t-test.
"""

from collections.abc import Sequence

import numpy as np

LEVEL = 0.95


def corrected_t(values: Sequence[float], *, test_to_train: float) -> tuple[float, float]:
    """Return the mean over the folds and half its 95 % interval; NaN if a fold's value is.

    The variance of the mean is s^2 (1 / k + n_test / n_train) in place of s^2 / k. It covers the
    draw of patients and of what differs from fold to fold, such as the seed.

    Args:
        values: One a fold, two or more; of a comparison the differences, fold by fold.
        test_to_train: Test rows over training rows.
    """
    from scipy.stats import t as student

    count = len(values)
    assert count > 1, "one fold has no spread"
    spread = np.std(values, ddof=1) * np.sqrt(1.0 / count + test_to_train)
    quantile = student.ppf((1.0 + LEVEL) / 2.0, count - 1)
    return float(np.mean(values)), float(quantile * spread)
