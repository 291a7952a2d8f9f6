"""The wheels of the three packages, and folders in which some of them are installed."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import pytest

from helpers.repository import NAMES, ROOT


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build the three wheels, from copies so that the checkout stays clean."""
    pytest.importorskip("build")
    built = {}
    for name in NAMES:
        source = tmp_path_factory.mktemp("source") / name
        out = tmp_path_factory.mktemp("wheel")
        ignored = shutil.ignore_patterns("*.egg-info", "build", "__pycache__")
        shutil.copytree(ROOT / "packages" / name, source, ignore=ignored)
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
        subprocess.run([*command, "--outdir", out, source], check=True, capture_output=True)
        built[name] = next(out.glob("*.whl"))
    return built


@dataclass(frozen=True)
class Installation:
    """A folder with some of our packages, and one with what others wrote."""

    site: Path
    third_parties: Path

    def python(self, code: str, *args: str) -> subprocess.CompletedProcess[str]:
        """Run Python with nothing to import but what is in the two folders."""
        check = f"assert toolkit_common.__file__.startswith({str(self.site)!r})"
        # -S: no site-packages and hence no .pth files, in which editable installations live.
        command = [sys.executable, "-S", "-c", f"import toolkit_common\n{check}\n{code}", *args]
        path = os.pathsep.join(map(str, (self.site, self.third_parties)))
        variables = os.environ | {"PYTHONPATH": path}
        return subprocess.run(command, capture_output=True, text=True, env=variables)

    def toolkit(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run the console script's function."""
        return self.python("from toolkit_common.__main__ import main\nmain()", *args)


@pytest.fixture
def install(wheels: dict[str, Path], tmp_path: Path) -> Callable[..., Installation]:
    """Unpack wheels side by side, as pip does for packages of Python alone."""

    def unpack(*names: str, without: Collection[str] = ()) -> Installation:
        for name in names:
            zipfile.ZipFile(wheels[name]).extractall(tmp_path / "site")
        (tmp_path / "third-parties").mkdir()
        for path in others():
            if path.name.partition("-")[0].lower() not in without:
                (tmp_path / "third-parties" / path.name).symlink_to(path)
        return Installation(tmp_path / "site", tmp_path / "third-parties")

    return unpack


def others() -> list[Path]:
    """Return all that is installed here but ours: code and metadata, no .pth."""
    places = {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")}
    files = [path for place in places for path in place.iterdir()]
    return [path for path in files if "toolkit_" not in path.name and path.suffix != ".pth"]
