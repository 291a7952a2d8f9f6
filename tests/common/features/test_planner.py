"""Where tokens go, and what is printed of it beforehand."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.properties import few_examples
from toolkit_common.errors import InputError
from toolkit_common.features import planner
from toolkit_common.features.planner import (
    Place,
    PlaceChoice,
    available_memory,
    duration,
    plan_extraction,
    price_dtypes,
    price_places,
    price_views,
    refuse_no_room,
    size,
)

FITS, HALF_FITS, TOO_MUCH = 1000, 2000, 2001  # of 4000 free bytes half may be taken


@pytest.mark.parametrize(
    ("choice", "num_bytes", "disk", "memory", "processes", "place", "in_memory"),
    [
        ("auto", FITS, 4000, 4000, 1, "disk", True),
        ("auto", HALF_FITS, 4000, 4000, 1, "disk", True),
        ("auto", FITS, 4000, 100, 1, "disk", False),
        ("auto", FITS, 100, 4000, 1, "memory", True),
        ("auto", TOO_MUCH, 4000, 4000, 1, "online", False),
        ("auto", FITS, 100, 100, 1, "online", False),
        ("auto", FITS, 100, 4000, 2, "online", False),
        ("auto", FITS, 4000, 4000, 2, "disk", True),
        ("auto", FITS, 4000, 4000, 3, "disk", False),
        ("disk", TOO_MUCH, 4000, 100, 1, "disk", False),
        ("disk", FITS, 0, 4000, 1, "disk", True),
        ("memory", TOO_MUCH, 0, 0, 1, "memory", True),
        ("memory", FITS, 4000, 4000, 2, "disk", True),
        ("online", FITS, 4000, 4000, 1, "online", False),
    ],
)
def test_the_table_of_decisions(
    choice: PlaceChoice,
    num_bytes: int,
    disk: int,
    memory: int,
    processes: int,
    place: Place,
    in_memory: bool,
) -> None:
    plan = plan_extraction(
        num_bytes,
        choice=choice,
        folder=Path(),
        num_processes=processes,
        free_memory=memory,
        free_disk=disk,
    )
    assert (plan.place, plan.in_memory) == (place, in_memory)
    assert plan.num_bytes == (0 if place == "online" else num_bytes)
    assert (plan.reason == "requested") == (choice == place)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("disk", r"tokens of 2 KiB do not fit the disk of .*, which has 1.95 KiB free: .* int8"),
        ("memory", "tokens of 2 KiB do not fit memory, which has 1.95 KiB free: .* --store disk"),
    ],
)
def test_tokens_without_room_are_refused(place: Place, message: str, tmp_path: Path) -> None:
    refuse_no_room(place, 2048, folder=tmp_path, free=2048)
    with pytest.raises(InputError, match=message):
        refuse_no_room(place, 2048, folder=tmp_path, free=2000)
    refuse_no_room("online", 2048, folder=tmp_path, free=0)


def test_shards_of_a_pass_that_was_cut_short_need_no_room(tmp_path: Path) -> None:
    refuse_no_room("disk", 2048, folder=tmp_path, written=48, free=2000)
    with pytest.raises(InputError, match=r"tokens of 1.95 KiB do not fit"):
        refuse_no_room("disk", 2048, folder=tmp_path, written=48, free=1999)
    with pytest.raises(InputError, match=r"tokens of 2 KiB do not fit memory"):
        refuse_no_room("memory", 2048, folder=tmp_path, written=48, free=2000)


@pytest.mark.parametrize("written", [0, 1, HALF_FITS // 2, HALF_FITS])
def test_a_pass_that_was_cut_short_goes_on_where_it_began(written: int, tmp_path: Path) -> None:
    plan = plan_extraction(
        HALF_FITS, folder=tmp_path, written=written, free_disk=4000 - written, free_memory=0
    )
    assert plan.place == "disk"


def test_free_space_is_that_of_the_system(tmp_path: Path) -> None:
    plan = plan_extraction(1, folder=tmp_path / "not" / "there" / "yet")
    assert (plan.place, plan.in_memory) == ("disk", True)
    assert plan_extraction(1 << 70, folder=Path("relative/folder")).place == "online"
    assert available_memory() > 0


@pytest.mark.parametrize("choice", ["disk", "memory", "online"])
def test_every_place_is_priced_beside_the_chosen_one(choice: Place, tmp_path: Path) -> None:
    plan = plan_extraction(3 << 20, choice=choice, folder=tmp_path)
    message = price_places(plan, 3 << 20, seconds=600, online_seconds=36000, folder=tmp_path)
    assert [line.split()[0] for line in message if "->" not in line] == [
        place for place in ("disk", "memory", "online") if place != choice
    ]
    (chosen,) = [line for line in message if "->" in line]
    assert chosen.split()[1] == choice
    disk, memory, online = message
    assert "3 MiB of " in disk
    assert "encoder runs 10 min, serves later probes" in disk
    assert "3 MiB of " in memory
    assert "keeps nothing, encoder runs 10.0 h" in online


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "0.977 KiB"), (1023, "0.999 KiB"), (1024, "1 KiB"),
     (1536, "1.5 KiB"), (1010 * 1024, "0.986 MiB"), (5 << 30, "5 GiB"), (3 << 40, "3 TiB")],
)  # fmt: skip
def test_sizes_are_readable(num_bytes: int, text: str) -> None:
    assert size(num_bytes) == text


@given(st.integers(0, 1 << 49))
@few_examples
def test_no_size_is_in_powers_of_ten(num_bytes: int) -> None:
    assert "e" not in size(num_bytes)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (89, "89 s"),
        (90, "2 min"),
        (5399, "90 min"),
        (5400, "1.5 h"),
        (86400, "24.0 h"),
    ],
)
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_stored_crops_are_priced_one_by_one_and_together() -> None:
    line = price_views(3, 3, num_bytes=100 << 20, seconds=80.0)
    assert "3 crops of every training image = 3 x 100 MiB = 300 MiB" in line
    assert "about 3 x 80 s = 4 min to extract" in line
    assert "1 crop of every training image (2 of 3 are stored) = 1 x" in price_views(
        1, 3, num_bytes=1, seconds=0.0
    )


@pytest.mark.parametrize(
    ("disk", "memory", "told"),
    [
        (1000, 1000, "fp16 400 B fits disk and memory, bf16 400 B fits disk and memory, int8 "
                     "210 B fits disk and memory"),
        (500, 100, "fp16 400 B fits neither disk nor memory, bf16 400 B fits neither disk nor "
                   "memory, int8 210 B fits the disk: --store-dtype int8 keeps them"),
        (100, 500, "int8 210 B fits memory: --store-dtype int8 keeps them"),
        (100, 100, "int8 210 B fits neither disk nor memory"),
    ],
)  # fmt: skip
def test_dtypes_are_priced_and_one_that_fits_is_proposed(
    disk: int, memory: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "available_memory", lambda: memory)
    monkeypatch.setattr(planner, "_available_disk", lambda _: disk)
    line = price_dtypes({"fp16": 400, "bf16": 400, "int8": 210}, "fp16", folder=tmp_path)
    assert line.endswith(told)
