"""The names that people give to splits, and ours."""

import re

from toolkit_common.errors import InputError

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
# Words that mean a split in the name of a folder, though not which of ours; and those beside them.
UNSURE = ("eval", "evaluation", "holdout", "trn", "tst")
BESIDE = ("set", "data", "dataset", "split", "folder", "image", "images", "img", "imgs")
WORD = re.compile(rf"({'|'.join([*SPLIT_NAMES, *UNSURE])})({'|'.join(BESIDE)})?")


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


def looks_like_split(name: str) -> bool:
    """Whether a folder's name is made of a split's and nothing else: `train_set`, `ValImages2`."""
    rest = [word for word in _words(name) if word not in BESIDE]
    return bool(rest) and all(WORD.fullmatch(word) for word in rest)


def guess_split(name: str) -> str | None:
    """Return the split that a name such as `train_set` most likely means, if it is plain."""
    meant = {
        SPLIT_NAMES[match.group(1)]
        for word in _words(name)
        if (match := WORD.fullmatch(word)) and match.group(1) in SPLIT_NAMES
    }
    return meant.pop() if len(meant) == 1 else None


def _words(name: str) -> list[str]:
    return re.findall("[a-z]+", re.sub("(?<=[a-z])(?=[A-Z])", " ", name).lower())
