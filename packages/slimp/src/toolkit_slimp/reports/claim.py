"""The sentence that answers what a pre-training run is read for, and what forbids to believe it.

The question: has it learned anything that holds for patients it has not seen? Judged by recall of
image to metadata, and of a patient's lesions to the patient, against chance (docs/reports.md).
"""

from collections.abc import Iterator, Sequence

from toolkit_common.seen.check import EXPLAINED, MARKS
from toolkit_slimp.reports.contents import Results
from toolkit_slimp.reports.recalls import LEVELS, Recall, headline
from toolkit_slimp.reports.watched import Watched
from toolkit_slimp.settings import SlimpSettings
from toolkit_slimp.watching.spread import collapse_warning

FEW_IMAGES, FEW_PATIENTS = 200, 50  # held out; as for probes (docs/reports.md)
FEW_TO_LEARN = 200  # training patients; our choice
FINDS = {
    "lesion": "images find their own metadata",
    "patient": "a patient's lesions find that patient",
}


def claim(values: Sequence[Recall], *, people: str, watched: Watched | None = None) -> str:
    """Return whether pre-training has learned anything that holds for held-out patients.

    Args:
        values: Recalls of the kept state.
        people: What groups are: patients, or lesions where the data know no patients.
        watched: Held-out patients, where they were encoded.
    """
    known = [item for level in LEVELS if (item := headline(values, level)) is not None]
    if not known:
        return (
            "No metadata were trained on (SimCLR alone), so that no recall says what this encoder "
            f"has learned for held-out {people}: toolkit probe does."
        )
    beyond = [item for item in known if item.is_beyond and item.above > 0]
    shown = "; ".join(_shown(item) for item in known)
    if beyond:
        part = "" if len(beyond) == len(known) else ", in part"
        but = ", though its embeddings have collapsed" if _collapse(watched) else ""
        what = f"something that holds for held-out {people}{part}{but}"
        return f"Pre-training learned {what}: {shown}."
    return f"That pre-training learned anything for held-out {people} does not show: {shown}."


def warnings(
    results: Results,
    settings: SlimpSettings,
    *,
    watched: Watched | None,
    values: Sequence[Recall],
) -> Iterator[str]:
    """Yield what forbids to believe the sentence, worst first.

    Args:
        results: Of the run.
        settings: Of the run.
        watched: Its held-out patients, where they were encoded.
        values: Recalls of them.
    """
    seen = results.seen_by_start
    if seen in MARKS:
        yield f"{MARKS[seen]}: {EXPLAINED[seen]}."
    if text := _collapse(watched):
        yield f"{text[:1].upper()}{text[1:]}."
    is_random = results.start_is_random
    if settings.starts_random if is_random is None else is_random:
        yield (
            "Random start: the image encoder knows nothing but what these training images and "
            "metadata have taught it."
        )
    if settings.keep in {item.key for item in values}:
        yield (
            f"Selected on held-out patients: of the states that were watched the best by "
            f"{settings.keep} was kept, which this sentence is about; it is too high."
        )
    elif settings.keep != "last":
        yield f"Selected on held-out patients: the best state by {settings.keep} was kept."
    if settings.allow_leaks:
        yield f"Leaks were read: {', '.join(settings.allow_leaks)} tell the label."
    yield from _losses_off(values, settings)
    yield from _few(results, watched)


def _losses_off(values: Sequence[Recall], settings: SlimpSettings) -> Iterator[str]:
    if settings.ablation != "none":
        yield f"Ablation {settings.ablation}: this is not SLIMP as it is meant."
        return
    levels = {item.level for item in values}
    for off, on in (("lesion", "patient"), ("patient", "lesion")):
        if values and off not in levels:
            yield f"The {off} loss is off: the {on} level alone was trained and is judged."


def _few(results: Results, watched: Watched | None) -> Iterator[str]:
    people, few = results.people, []
    if watched is not None:
        images, groups = len(watched.rows), watched.rows["patient"].nunique()
        few += [f"{images} held-out images"] if images < FEW_IMAGES else []
        few += [f"{groups} held-out {people}"] if groups < FEW_PATIENTS else []
    trained = results.sizes["train"].groups if "train" in results.sizes else FEW_TO_LEARN
    few += [f"{trained} {people} to learn from"] if trained < FEW_TO_LEARN else []
    if few:
        yield f"Few: {', '.join(few)}. Another draw of {people} may turn it round."


def _collapse(watched: Watched | None) -> str | None:
    """Return why embeddings count as collapsed: of images, else of phenotypes, else of views."""
    if watched is None:
        return None
    names = ("images", "phenotypes", "views")
    known = [watched.tensors[name] for name in names if name in watched.tensors]
    return collapse_warning(known[0])


def _shown(item: Recall) -> str:
    interval = "" if item.ci is None else f" [{item.ci[0]:.2f}, {item.ci[1]:.2f}]"
    where = "first of all" if item.k == 1 else f"among the first {item.k}"
    text = (
        f"{FINDS[item.level]} {where} in {item.value:.2f}{interval} of cases (chance "
        f"{item.chance:.2f})"
    )
    if item.above_ci is None:
        return f"{text}, without an interval, as all are of one patient: nothing follows"
    if not item.is_beyond:
        return f"{text}, which cannot be told from chance"
    return f"{text}, which is below chance" if item.above < 0 else text
