"""Poolings from patch tokens to a vector, one paper a file, by the literature's short name."""

from collections.abc import Mapping

from toolkit_probing.probes.abmilp import AbMilp
from toolkit_probing.probes.aim import Aim
from toolkit_probing.probes.base import AttentivePool, Pool
from toolkit_probing.probes.cae import Cae
from toolkit_probing.probes.cait import CaiT
from toolkit_probing.probes.cbam import Cbam
from toolkit_probing.probes.clip import Clip
from toolkit_probing.probes.coca import CoCa
from toolkit_probing.probes.dinovit import DinoViT
from toolkit_probing.probes.dolg import Dolg
from toolkit_probing.probes.ep import EfficientProbing
from toolkit_probing.probes.esimpool import EfficientSimPool
from toolkit_probing.probes.jepa import Jepa
from toolkit_probing.probes.mhca import MultiHeadCrossAttention
from toolkit_probing.probes.siglip import SigLip
from toolkit_probing.probes.simpool import SimPool

POOLS: Mapping[str, type[Pool]] = {
    "ep": EfficientProbing,
    "abmilp": AbMilp,
    "simpool": SimPool,
    "esimpool": EfficientSimPool,
    "clip": Clip,
    "siglip": SigLip,
    "aim": Aim,
    "cbam": Cbam,
    "coca": CoCa,
    "cait": CaiT,
    "cae": Cae,
    "dinovit": DinoViT,
    "jepa": Jepa,
    "dolg": Dolg,
    "mhca": MultiHeadCrossAttention,
}

__all__ = ["POOLS", "AttentivePool", "EfficientProbing", "Pool"]
