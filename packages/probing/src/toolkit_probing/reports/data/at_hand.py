"""The data of a finished run, read again where they still are as they were."""

from dataclasses import dataclass
from pathlib import Path

from toolkit_common.console import quieted
from toolkit_common.data.dataset import ImageData
from toolkit_common.errors import InputError
from toolkit_common.ids import split_options
from toolkit_common.runs.folder import RunFolder
from toolkit_common.sources.load import load_data
from toolkit_probing.protocols import settings_of
from toolkit_probing.results.saved import SavedRun

MOST_LOADED = 50_000  # images: of more, listing the files alone takes longer than the page
REMOTE = ("hf", "torchvision")  # sources that may fetch


@dataclass(frozen=True)
class AtHand:
    """The data of a run, or why they are not to be had."""

    data: ImageData | None
    why: str = ""


def find_data(run: SavedRun) -> AtHand:
    """Read the data of a finished run again; nothing is fetched, and data that changed are none."""
    path = run.path.absolute()  # the current folder is another below
    folder = RunFolder(path)
    with quieted(wanted=True), folder.where_it_began():
        if why := _why_unread(run):
            return AtHand(None, why)
        try:
            settings = settings_of(path)
            data = load_data(settings.data, premalignant_as=settings.premalignant_as)
        except (InputError, OSError) as error:
            return AtHand(None, f"the data cannot be read here ({error}).")
        is_same = folder.facts().get("data") == data.fingerprint()
    if not is_same:
        return AtHand(None, f"{data.id} is no longer as the run read it.")
    return AtHand(data)


def _why_unread(run: SavedRun) -> str:
    """Return why the data are not even looked for."""
    data = run.results.data
    place, _ = split_options(data.id)
    source, _, name = place.partition(":")
    if source in REMOTE and not Path(name).is_dir():
        return f"{source}: data may have to be fetched, which a report does not do."
    total = sum(data.sizes.values())
    if total > MOST_LOADED:
        return f"of {total:,} images none is read again; the page that the run wrote has some."
    return ""
