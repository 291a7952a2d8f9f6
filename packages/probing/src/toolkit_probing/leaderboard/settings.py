"""The options of `toolkit report --leaderboard`."""

from pathlib import Path

from pydantic import model_validator

from toolkit_common.config import Settings, option

LEADERBOARD = "Leaderboard"


class LeaderboardSettings(Settings):
    """Whether encoders are ranked, and where the table is kept."""

    leaderboard: bool = option(
        False,
        "Rank encoders by k-NN, linear probing and EP, a table for each data set and protocol; "
        "RUN may be a study's folder.",
        panel=LEADERBOARD,
    )
    into: Path | None = option(
        None,
        "Markdown file to write the leaderboard into, between the lines <!-- leaderboard --> and "
        "<!-- /leaderboard -->.",
        panel=LEADERBOARD,
    )
    check: bool = option(
        False,
        "Write nothing: exit with 1 where the leaderboard in --into FILE is out of date.",
        panel=LEADERBOARD,
    )

    @model_validator(mode="after")
    def _go_together(self) -> "LeaderboardSettings":
        if self.into is not None and not self.leaderboard:
            raise ValueError("--into is of --leaderboard: add it")
        if self.check and self.into is None:
            raise ValueError("--check is of --into FILE: name the file")
        return self
