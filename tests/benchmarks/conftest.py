"""What the drill and the comparison of processes share: a world of small commands."""

import pytest

from lib.drill.world import World


@pytest.fixture(scope="session")
def drilled(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("drill") / "world")
