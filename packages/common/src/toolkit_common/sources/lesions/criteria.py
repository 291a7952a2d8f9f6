"""Dermoscopic criteria (network, streaks, veil ...), which some data sets tell for every image.

The experts who diagnosed read them from the same image: they are withheld from all inputs, unless
`?criteria=inputs` asks for them (our choice; docs/datasets.md calls them leaks for an automatic
system).
"""

from dataclasses import replace

from toolkit_common.data.sheet import Column, Sheet
from toolkit_common.sources.lesions.folder import Request

CHOICES = {"criteria": ("withheld", "inputs")}
WHY = "read from the image by the experts who diagnosed: a system has to see it itself"


def withhold(sheet: Sheet, criteria: tuple[Column, ...]) -> Sheet:
    """Put the criteria on the sheet's leak list."""
    leaks = dict.fromkeys((column.name for column in criteria), WHY)
    return replace(sheet, leaks={**sheet.leaks, **leaks})


def as_asked(sheet: Sheet, criteria: tuple[Column, ...], request: Request) -> Sheet:
    """Return the sheet with the criteria among its columns where the request asks for that."""
    if request.options["criteria"] == "withheld":
        return sheet
    names = {column.name for column in criteria}
    leaks = {name: why for name, why in sheet.leaks.items() if name not in names}
    return replace(sheet, leaks=leaks, columns=(*sheet.columns, *criteria))
