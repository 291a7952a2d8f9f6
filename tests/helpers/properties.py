"""Settings of hypothesis tests: the same examples on every run, no limit on one example's time."""

from hypothesis import HealthCheck, settings

few_examples = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    # Our autouse fixtures only choose the working folder: examples may share it.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
