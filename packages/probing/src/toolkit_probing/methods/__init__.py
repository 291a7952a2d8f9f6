"""The methods that judge an encoder, by the literature's short name."""

from collections.abc import Mapping

from toolkit_probing.methods.frozen import probe_with_heads, probe_with_published_head
from toolkit_probing.methods.knn import Neighbours, probe_with_knn
from toolkit_probing.methods.logreg import Regressions, probe_with_logreg
from toolkit_probing.methods.method import Method
from toolkit_probing.methods.options import options_of
from toolkit_probing.methods.tuned import probe_with_tuning
from toolkit_probing.probes import POOLS, EfficientProbing

_POOLED = {
    name: Method(
        name,
        pool.title,
        pool.source,
        fit=probe_with_heads,
        is_trained=True,
        tuned=probe_with_tuning,
        published=probe_with_published_head if pool is EfficientProbing else None,
        pool=pool,
        options=options_of(pool),
    )
    for name, pool in POOLS.items()
}

METHODS: Mapping[str, Method] = {
    **_POOLED,
    "linear": Method(
        "linear",
        "Linear probing of what the card names",
        "He et al., 2022",
        fit=probe_with_heads,
        is_trained=True,
        tuned=probe_with_tuning,
    ),
    "cls": Method(
        "cls",
        "Linear probing of the class token",
        "He et al., 2022",
        fit=probe_with_heads,
        is_trained=True,
        tuned=probe_with_tuning,
        vector="cls",
    ),
    "mean": Method(
        "mean",
        "Linear probing of the mean of the patches",
        "He et al., 2022",
        fit=probe_with_heads,
        is_trained=True,
        tuned=probe_with_tuning,
        vector="mean",
    ),
    "knn": Method(
        "knn",
        "Weighted nearest neighbours",
        "Wu et al., 2018",
        fit=probe_with_knn,
        options=options_of(Neighbours),
    ),
    "logreg": Method(
        "logreg",
        "Logistic regression",
        "scikit-learn",
        fit=probe_with_logreg,
        options=options_of(Regressions),
    ),
}
