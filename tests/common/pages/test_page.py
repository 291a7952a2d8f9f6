"""Pages: what comes from data stays text, and nothing is loaded from anywhere."""

import sys
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from PIL import Image

from toolkit_common.pages.page import render
from toolkit_common.pages.pictures import data_uri

HOSTILE = "</script><script>alert(1)</script>\x1b[2J\x00 & \"'"


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Render a body as a page."""

    def write(body: str, **values: object) -> str:
        (tmp_path / "toolkit_try").mkdir(exist_ok=True)
        (tmp_path / "toolkit_try/__init__.py").touch()
        (tmp_path / "toolkit_try/t.html").write_text(
            '{% extends "base.html" %}{% block title %}T{% endblock %}'
            "{% block body %}" + body + "{% endblock %}"
        )
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "toolkit_try", raising=False)
        return render("toolkit_try", "t.html", **values)

    return write


def test_what_comes_from_data_is_escaped_and_its_control_characters_are_shown(written):
    text = written("<p title='{{ it }}'>{{ it }}</p>", it=HOSTILE)
    assert text.count("<script>") == text.count("</script>") == 1  # the page's own
    assert "&lt;script&gt;alert(1)" in text
    assert "\\x1b[2J\\x00 &amp; &#34;&#39;" in text
    assert "\x1b" not in text
    assert "\x00" not in text


def test_a_picture_stays_whole_and_a_path_is_its_last_name(written):
    picture = data_uri(Image.new("RGB", (8, 8)))
    text = written("<img src='{{ it }}'>{{ place }}", it=picture, place="from /home/me/a.csv")
    assert f"<img src='{picture}'>from a.csv" in text


def test_nothing_is_empty_and_a_misspelt_name_is_an_error(written):
    assert "<p></p>" in written("<p>{{ it }}</p>", it=None)
    with pytest.raises(UndefinedError, match="'its'"):
        written("{{ its }}", it=1)


def test_a_page_loads_nothing_and_fits_a_phone(written):
    text = written("")
    assert "http" not in text
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    assert "prefers-color-scheme: dark" in text
