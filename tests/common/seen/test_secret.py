"""The secret of a site: made once, for its owner alone, and what is digested under it."""

import hashlib
import hmac
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from toolkit_common.errors import InputError
from toolkit_common.seen.secret import (
    describe_secret,
    key_id,
    keyed_digests,
    make_secret,
    read_secret,
    secret_path,
)


@pytest.fixture(autouse=True)
def new_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "configuration/site"
    monkeypatch.setenv("TOOLKIT_SITE_SECRET", str(path))
    return path


def test_it_is_made_once_and_for_its_owner_alone(new_site: Path) -> None:
    assert read_secret() is None
    secret = make_secret()
    assert len(secret) == 32
    assert make_secret() == read_secret() == secret
    assert stat.S_IMODE(new_site.stat().st_mode) == 0o600
    assert [path.name for path in new_site.parent.iterdir()] == ["site"]


def test_all_who_make_it_at_once_have_the_same() -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: make_secret(), range(4)))
    assert len(set(made)) == 1


def test_it_lies_in_the_user_s_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOOLKIT_SITE_SECRET")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/somewhere")
    assert secret_path() == Path("/somewhere/toolkit/site-secret")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert secret_path() == Path.home() / ".config/toolkit/site-secret"


@pytest.mark.parametrize("text", ["", "no digits", "ab" * 31])
def test_a_file_that_holds_none_is_refused_and_kept(new_site: Path, text: str) -> None:
    new_site.parent.mkdir()
    new_site.write_text(text)
    with pytest.raises(InputError, match=r"site is to hold the secret .* at least 64 hexadecimal"):
        make_secret()
    assert new_site.read_text() == text


def test_a_place_that_cannot_be_read_or_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLKIT_SITE_SECRET", str(tmp_path))
    with pytest.raises(InputError, match=r"cannot read the secret of this site"):
        read_secret()
    (tmp_path / "file").touch()
    monkeypatch.setenv("TOOLKIT_SITE_SECRET", str(tmp_path / "file/secret"))
    with pytest.raises(InputError, match=r"secret of this site.*file/secret"):
        make_secret()


def test_digests_are_hmac_sha256_of_kind_and_name() -> None:
    expected = hmac.digest(b"key", b"patients\0PAT_8", hashlib.sha256)[:8]
    (actual,) = keyed_digests(b"key", "patients", ["PAT_8"]).tolist()
    assert actual == int.from_bytes(expected, "big")
    assert keyed_digests(b"key", "lesions", ["PAT_8"]).tolist() != [actual]
    assert keyed_digests(b"other", "patients", ["PAT_8"]).tolist() != [actual]
    assert keyed_digests(b"key", "patients", []).dtype == np.uint64


def test_whoever_can_list_the_ids_finds_nobody_without_the_secret() -> None:
    ids = [f"PAT_{number}" for number in range(2000)]
    kept = set(keyed_digests(make_secret(), "patients", ids[:200]).tolist())
    plain = {int(hashlib.sha256(name.encode()).hexdigest()[:16], 16) for name in ids}
    named = {
        digest
        for guess in (b"", b"0" * 32, key_id(make_secret()).encode())
        for digest in keyed_digests(guess, "patients", ids).tolist()
    }
    assert not kept & (plain | named)


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
def test_doctor_tells_where_it_lies_and_nobody_uses_what_others_may_read(new_site: Path) -> None:
    assert describe_secret() == f"{new_site} (made with the first export)"
    assert not new_site.exists()
    name = key_id(make_secret())
    assert describe_secret() == f"{new_site} (key {name})"
    assert make_secret().hex() not in describe_secret()
    new_site.chmod(0o644)
    for use in (describe_secret, make_secret, read_secret):
        with pytest.raises(InputError, match="chmod 600"):
            use()
