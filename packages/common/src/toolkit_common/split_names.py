"""The names that people give to splits, and ours."""

from toolkit_common.errors import InputError

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


def normal_split(name: object, where: str) -> str:
    """Return our name of a split.

    Args:
        name: Somebody's.
        where: Where it stands, for the message.

    Raises:
        InputError: If it is unknown.
    """
    known = SPLIT_NAMES.get(str(name).lower())
    if known is None:
        raise InputError(f"{where}: split {name!r} is none of {', '.join(SPLIT_NAMES)}")
    return known
