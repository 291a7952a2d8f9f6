"""Synthetic Fitzpatrick17k: pictures called by hashes, some absent, skin types of two kinds.

Quirks: unknown skin types are -1, most cells of `qc` are empty, the path in `url` spells the
diagnosis, a tenth of the images is not there.
"""

import hashlib
from pathlib import Path

import pandas as pd

from toolkit_common.synthetic.cohort import Kind, Order, Recipe, draw_cohort
from toolkit_common.synthetic.pictures import write_pictures

SIZE = 128  # pixels
ABSENT = 0.1  # share of images
# Condition -> its nine-partition and three-partition label, its look.
CONDITIONS = {
    "psoriasis": ("inflammatory", "non-neoplastic", Kind(0.3, red=9, size=1.3)),
    "neurofibromatosis": ("genodermatoses", "non-neoplastic", Kind(0.15, yellow=4, size=0.7)),
    "melanoma": ("malignant melanoma", "malignant", Kind(0.15, malignant=True, light=-5)),
    "basal cell carcinoma": ("malignant epidermal", "malignant",
                             Kind(0.15, malignant=True, light=10, red=6)),
    "seborrheic keratosis": ("benign epidermal", "benign", Kind(0.15, light=3, yellow=7)),
    "dermatofibroma": ("benign dermal", "benign", Kind(0.1, yellow=3, size=0.6)),
}  # fmt: skip
ATLASES = ("https://www.dermaamin.com/site/images/clinical-pic/",
           "http://atlasdermatologico.com.br/")  # fmt: skip
LAYOUTS = ("csv",)


def make_fitzpatrick17k(out: Path, order: Order) -> None:
    """Write the data set."""
    kinds = {name: look for name, (_, _, look) in CONDITIONS.items()}
    cohort = draw_cohort(order, Recipe(kinds, ("trunk",)))
    kind = cohort.cases["kind"]
    names = cohort.name("", of="image").map(
        lambda name: hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
    )
    spelled = kind.str.replace(" ", "-")
    url = cohort.choose(ATLASES) + spelled.str[0] + "/" + spelled + "/" + names.str[:4] + ".jpg"
    skin = cohort.blank(cohort.cases["skin"], 0.03, of="image", word=-1)
    table = pd.DataFrame({
        "md5hash": names,
        "fitzpatrick_scale": skin,
        "fitzpatrick_centaur": cohort.blank(cohort.cases["skin"], 0.06, of="image", word=-1),
        "label": kind,
        "nine_partition_label": kind.map(lambda name: CONDITIONS[name][0]),
        "three_partition_label": kind.map(lambda name: CONDITIONS[name][1]),
        "qc": cohort.choose({"": 0.97, "1 Diagnostic": 0.02, "3 Wrongly labelled": 0.01}),
        "url": url,
        "url_alphanum": url.str.replace(r"\W", "", regex=True),
    })  # fmt: skip
    table.to_csv(out / "fitzpatrick17k.csv", index=False)
    is_there = ~cohort.happens(ABSENT)
    paths = [out / "images" / f"{name}.jpg" for name in names[is_there]]
    write_pictures(cohort.cases[is_there], paths, size=SIZE, rng=cohort.rng)
