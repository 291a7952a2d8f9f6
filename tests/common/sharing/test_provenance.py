"""What may be said in public: a list of what is kept, so that what is new stays at home."""

import json

import pytest

from toolkit_common.sharing.provenance import generations, public_data, public_provenance

SECRET = {
    "data": "csv:/home/somebody/table.csv?group=patient",
    "data_fingerprint": "feedbeef",
    "start": "/home/somebody/teacher.pth",
    "splits": "the file /home/somebody/splits.csv",
    "settings": {"positives": "diagnosis=melanoma", "lr": 0.1, "tracker": ["wandb"]},
    "groups_seen": ["0123456789ab"],
    "files": {"schema.json": "feedbeef"},
    "steps": 12,
    "method": "SLIMP",
    "later": "Smith-1",
}


def test_only_what_is_known_to_be_harmless_is_kept() -> None:
    public = public_provenance(SECRET)
    assert public == {
        "method": "SLIMP", "data": "csv", "start": "weights of a file", "steps": 12,
        "protocol": {"lr": 0.1}, "counts": {}, "lineage": [],
    }  # fmt: skip
    again = public_provenance({**SECRET, "lineage": [SECRET]})
    assert [word for word in ("somebody", "melanoma", "feedbeef", "Smith", "0123456789ab")
            if word in json.dumps(again)] == []  # fmt: skip


def test_words_of_a_protocol_are_kept_where_they_are_of_a_closed_list() -> None:
    protocol = {"keep": "last", "lr": 0.1, "note": "Mrs Smith", "path": "/home/x"}
    assert public_provenance({"protocol": protocol})["protocol"] == {"keep": "last", "lr": 0.1}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("Ward 7;/home/quix/pats, \u2018/srv/mabel/list\u2019", "Ward 7;[...], \u2018[...]\u2019"),
        (r"/srv/Anna_M, \\server\share\quix, https://doi.org/1/x",
         "[...], [...], https://doi.org/1/x"),
        ("sftp://m@host/home/p smb://host/p m@host:/home/p", "[...] [...] [...]"),
        ("file:///srv/x $HOME/x ../mabel/x ~m/x C:\\Users\\m (see /srv)",
         "[...] [...] [...] [...] [...] (see [...])"),
        ("a '/home/quix lane/pats', \u00abfile:///srv/quix lane\u00bb 'https://doi.org/1/x y'",
         "a '[...]', \u00ab[...]\u00bb 'https://doi.org/1/x y'"),
        (r"/srv/quix\ lane, ~/quix lane/pats of 2019, /srv/quix the lane/pats x/y https://doi.org/1",
         "[...], [...] of 2019, [...] the lane/pats x/y https://doi.org/1"),
        ("male and/or female, n/a; CC BY-NC 4.0", "male and/or female, n/a; CC BY-NC 4.0"),
    ],
)  # fmt: skip
def test_a_source_says_no_place_of_a_machine(source: str, said: str) -> None:
    public = public_provenance({"data_source": source, "data_licence": source})
    assert (public["data_source"], public["data_licence"]) == (said, said)


@pytest.mark.parametrize(
    ("identifier", "result"),
    [
        ("csv:/home/somebody/a.csv?group=p", "csv"),
        ("hf:ORG/NAME", "hf:ORG/NAME"),
        ("hf:/home/somebody/ORG", "own"),
        ("torchvision:cifar10", "torchvision:cifar10"),
        ("/home/somebody/card.yaml", "own"),
        ("Mrs Smith", "own"),
    ],
)
def test_a_data_set_is_named_without_its_place(identifier: str, result: str) -> None:
    assert public_data(identifier) == result


def test_a_folder_that_looks_like_a_name_of_the_hub_is_none(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "smith/data").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert public_data("hf:smith/data") == "hf"


def test_texts_of_a_foreign_description_are_cut_and_in_one_line() -> None:
    (only,) = generations({"method": "a\nb" + "c" * 500, "steps": "many", "data_licence": 3})
    assert only.method == "a\\nb" + "c" * 196 + "..."
    assert (only.steps, only.data_licence) == (None, "unknown")
