"""The README.md of a published encoder: what it is, what it was made of, how far to trust it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolkit_common.backbones.contract import ImageEncoder
from toolkit_common.backbones.exported import SHARED, Description
from toolkit_common.backbones.named.licences import UNKNOWN
from toolkit_common.pages.paste import markdown_table
from toolkit_common.printable import counted, markdown
from toolkit_common.seen.check import EXPLAINED, MARKS
from toolkit_common.sharing.figures import Figures
from toolkit_common.sharing.provenance import Generation, generations, licences

HEADER = """\
---
license: other
library_name: {library}
pipeline_tag: image-feature-extraction
tags: [feature-extraction{tag}]
---
"""
OF_TIMM = """\
```python
import timm

model = timm.create_model("hf-hub:ORG/NAME", pretrained=True).eval()  # local-dir:FOLDER of a copy
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
features = model.forward_features(transform(image.convert("RGB")).unsqueeze(0))
```
"""
OF_TOOLKIT = """\
With the toolkit, which also knows how probes read it: `hf download ORG/NAME --local-dir FOLDER`,
then `toolkit probe --backbone FOLDER --data ...`.
"""
LIMITS = (
    "Research use: it is no medical device, and no figure here is evidence for a clinical use.",
    "It is as good, and as biased, as the people and cameras of its training data: check it on "
    "your own, by subgroup, before you trust it.",
    "Weights can keep traces of training images. Whether they may be published is for the "
    "licences above and the agreements behind the data to say.",
)
NOT_RECORDED = (
    "**Whom it has seen is not in this folder.** Judge it on patients who cannot have been in its "
    "training data; the toolkit marks every figure with `SEEN?`."
)
RECORDED = (
    "`seen.safetensors` holds whom it has seen as digests under the secret of the site that "
    "trained it: there the toolkit refuses to judge it on them, elsewhere it marks figures with "
    "`SEEN?`."
)


@dataclass(frozen=True)
class Subject:
    """What a model card is of.

    Attributes:
        description: Of the encoder, its provenance public.
        encoder: The encoder.
        figures: What probes found of it.
        has_hashes: Whether digests of whom it has seen are published with it.
        has_timm: Whether timm reads the folder.
    """

    description: Description
    encoder: ImageEncoder
    figures: Sequence[Figures]
    has_hashes: bool
    has_timm: bool


def model_card(subject: Subject) -> str:
    """Return the README.md of an encoder to publish."""
    library, tag = ("timm", ", timm") if subject.has_timm else ("toolkit", "")
    name = subject.encoder.facts.architecture.rpartition(":")[2].partition("?")[0]
    provenance = subject.description.provenance
    parts = [
        HEADER.format(library=library, tag=tag),
        f"# Image encoder: {markdown(name)}, {markdown(generations(provenance)[-1].method)}\n",
        "\n".join(_what(subject)) + "\n",
        "## Use\n",
        (OF_TIMM if subject.has_timm else "") + OF_TOOLKIT,
        "## Training data and licences\n",
        "\n".join(_data(provenance)) + "\n",
        "## Protocol\n",
        "\n".join(_protocol(provenance)) + "\n",
        "## Figures\n",
        "\n\n".join(_figures(subject.figures)) + "\n",
        "## Limits\n",
        "\n".join(f"- {line}" for line in _limits(subject)) + "\n",
    ]
    return "\n".join(parts)


def _what(subject: Subject) -> Iterator[str]:
    facts, preprocess, card = (
        subject.encoder.facts, subject.encoder.preprocess, subject.description.card
    )  # fmt: skip
    count = sum(item.numel() for item in subject.encoder.model.parameters())
    yield f"- weights: `{SHARED}`, {count / 1e6:.1f} million parameters, no classifier"
    yield (
        f"- tokens: {facts.embed_dim} wide, grid {facts.grid[0]} x {facts.grid[1]}, "
        f"{counted(facts.num_prefix_tokens, 'prefix token')}"
    )
    yield f"- input: {markdown(preprocess.describe())}"
    yield (
        f"- read by linear probes: {card.linear}; by poolings: {card.ep} "
        f"({markdown(card.reason)}; objective: {markdown(card.objective)})"
    )


def _data(provenance: Mapping[str, Any]) -> Iterator[str]:
    listed = licences(provenance)
    yield markdown_table(["what", "licence"], listed.items(), align="ll") + "\n"
    for number, item in enumerate(generations(provenance), 1):
        if item.data_source not in (UNKNOWN, ""):
            yield f"Source of the data of training {number}: {markdown(item.data_source)}\n"
    counts = provenance.get("counts", {})
    if counts:
        said = ", ".join(f"{value:,} {key.replace('_', ' ')}" for key, value in counts.items())
        yield f"The last training: {said}."
    if UNKNOWN in listed.values():
        yield (
            "\n**A licence above is unknown**: whoever publishes or uses this has to find it out "
            "first."
        )


def _protocol(provenance: Mapping[str, Any]) -> Iterator[str]:
    for number, item in enumerate(generations(provenance), 1):
        yield f"{number}. {markdown(_training(item))}"
    if settings := provenance.get("protocol"):
        yield "\nSettings of the last one:\n"
        rows = [(key, str(value)) for key, value in settings.items()]
        yield markdown_table(["setting", "value"], rows, align="ll")


def _training(item: Generation) -> str:
    steps = "" if item.steps is None else f", {item.steps:,} updates"
    learned = "" if item.train in (UNKNOWN, "all") else f", of which learned: {item.train}"
    return f"{item.method} on {item.data}, from {item.start}{steps}{learned}"


def _figures(figures: Sequence[Figures]) -> Iterator[str]:
    if not figures:
        yield "Not probed, or not published with it."
    for item in figures:
        images, groups = item.sizes
        names = list(dict.fromkeys(name for row in item.rows.values() for name in row))
        lines = [
            f"On {markdown(item.data)}: {counted(images, 'test image')} of "
            f"{counted(groups, 'group')} (patients, where "
            f"they are known), protocol {markdown(item.protocol)}. 95 % intervals by bootstrap "
            "over groups. The encoder stayed frozen; images alone were read.\n",
            f"| method | {' | '.join(markdown(name.replace('_', ' ')) for name in names)} |",
            f"| --- |{' ---: |' * len(names)}",
        ]
        for method, row in item.rows.items():
            status = item.seen[method]
            marked = f" **{MARKS[status]}**" if status in MARKS else ""
            cells = [markdown(row.get(name, "")) for name in names]
            lines.append(f"| {markdown(method)}{marked} | {' | '.join(cells)} |")
        worst = [status for status in MARKS if status in item.seen.values()]
        lines += [f"\n**{MARKS[status]}**: {EXPLAINED[status]}." for status in worst]
        yield "\n".join(lines)


def _limits(subject: Subject) -> Iterator[str]:
    yield RECORDED if subject.has_hashes else NOT_RECORDED
    yield from LIMITS
    if not subject.has_timm:
        architecture = markdown(subject.description.architecture)
        yield f"timm cannot build it: the toolkit can, as {architecture}"
