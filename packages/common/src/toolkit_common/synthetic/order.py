"""What is asked of a maker of synthetic data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Order:
    """How many rows of a synthetic data set to write, and how.

    Attributes:
        rows: Images.
        seed: The same seed writes the same data.
        layout: Which of the layouts that circulate.
        pool: Distinct pictures that rows share, where the data set is large.
    """

    rows: int
    seed: int
    layout: str
    pool: int
