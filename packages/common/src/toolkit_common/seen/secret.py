"""The secret of this site: the key of all digests of people and images that leave it.

An id of a patient can be guessed (`PAT_1` to `PAT_2000`), so that a plain hash of it gives it away.
A digest under a key tells those who have the key whether two ids are equal, and others nothing. The
key is made once, lies outside of all run folders, and is shared by copying its file: machines with
one file are one site.
"""

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import UInt64
from platformdirs import user_config_path

from toolkit_common.errors import InputError
from toolkit_common.foreign.values import read_bytes
from toolkit_common.outside import reason_of

VARIABLE = "TOOLKIT_SITE_SECRET"
NUM_BYTES = 32
MAX_BYTES = 1 << 16
OTHERS = 0o077  # permission bits of everyone but the owner

Digests = UInt64[np.ndarray, " n"]


def secret_path() -> Path:
    """Return where the secret lies: `$TOOLKIT_SITE_SECRET`, else in the user's configuration.

    On Linux that is `toolkit` in `$XDG_CONFIG_HOME` or `~/.config`.
    """
    if given := os.environ.get(VARIABLE):
        return Path(given).expanduser()
    return user_config_path("toolkit", appauthor=False) / "site-secret"


def read_secret() -> bytes | None:
    """Return the secret, None if this site has none yet.

    Raises:
        InputError: If its file cannot be read, holds none, or others may read it.
    """
    path = secret_path()
    try:
        text = read_bytes(path, MAX_BYTES).decode("ascii")
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot read the secret of this site, {path}: {reason_of(error)}"
        ) from None
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        secret = b""
    if len(secret) < NUM_BYTES:
        raise InputError(
            f"{path} is to hold the secret of this site, at least {2 * NUM_BYTES} hexadecimal "
            "digits, and does not: put the right file back, or delete it to have a new one made "
            "(what was exported under the old one cannot be compared any more)"
        )
    if mode & OTHERS and os.name == "posix":  # elsewhere the bits say nothing of others
        raise InputError(f"others may read {path}, the secret of this site: chmod 600 it")
    return secret


def make_secret() -> bytes:
    """Return the secret, made if this site has none yet.

    Raises:
        InputError: If its file cannot be read or written.
    """
    while (secret := read_secret()) is None:
        _write_new(secret_path())
    return secret


def key_id(secret: bytes) -> str:
    """Return what names a secret and does not tell it: digests under other ones say nothing."""
    return hmac.digest(secret, b"toolkit: which secret", hashlib.sha256).hex()[:16]


def keyed_digests(secret: bytes, kind: str, names: Iterable[str]) -> Digests:
    """Return a keyed digest of each name, 64 bits of HMAC-SHA256; of another kind another one."""
    # 64 bits: of a million names against a million, one pair in 2e7 tries would be equal by chance.
    words = (hmac.digest(secret, f"{kind}\0{name}".encode(), hashlib.sha256)[:8] for name in names)
    return np.frombuffer(b"".join(words), ">u8").astype(np.uint64)


def describe_secret() -> str:
    """Return a line on the secret: where it lies, and what names it.

    Raises:
        InputError: If its file cannot be read, or others may read it.
    """
    path, secret = secret_path(), read_secret()
    if secret is None:
        return f"{path} (made with the first export)"
    return f"{path} (key {key_id(secret)})"


def _write_new(path: Path) -> None:
    """Write a new secret unless another process has just done so."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Born with its mode: there is no moment in which others could read it.
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "w", encoding="ascii") as opened:
            opened.write(secrets.token_hex(NUM_BYTES) + "\n")
        try:
            # A link, which takes no other's place: of two processes the first one's secret stays.
            os.link(temporary, path)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    except OSError as error:
        raise InputError(
            f"cannot make the secret of this site at {path} ({error.strerror or error}): set "
            f"{VARIABLE} to a file in a folder that you may write"
        ) from None
