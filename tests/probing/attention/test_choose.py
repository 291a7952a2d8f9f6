"""Which heads of a run have maps, and of which rows they are."""

from dataclasses import replace

import pytest
import torch

from toolkit_probing.attention.choose import (
    choose_head,
    head_of,
    heads_to_measure,
    heads_with_maps,
)
from toolkit_probing.heads.files import read_spec, save_head
from toolkit_probing.protocols import settings_of
from toolkit_probing.results.contents import read_results


@pytest.mark.slow
def test_a_name_that_begins_several_heads_is_refused(probe_run):
    (first,) = (probe_run / "heads").glob("ep-*")
    (probe_run / "heads/ep-other.safetensors").write_bytes(first.read_bytes())
    with pytest.raises(ValueError, match=r"--head ep is one of: ep-num.*, ep-other"):
        choose_head(probe_run, "ep")
    assert choose_head(probe_run, "ep-o").stem == "ep-other"


@pytest.mark.slow
def test_eps_head_is_drawn_unless_another_is_named(probe_run):
    (first,) = (probe_run / "heads").glob("ep-*")
    other = probe_run / "heads/abmilp-other.safetensors"
    spec = replace(read_spec(first), method="abmilp", options={})
    save_head(other, spec, {"x": torch.zeros(1)})
    assert choose_head(probe_run, None) == first
    assert choose_head(probe_run, "abmilp") == other
    first.unlink()
    assert choose_head(probe_run, None) == other


@pytest.mark.slow
def test_heads_with_maps_go_by_their_rows(probe_run):
    results, settings = read_results(probe_run), settings_of(probe_run)
    heads = heads_to_measure(probe_run, results, settings)
    assert [head.name for head in heads] == ["ep", "esimpool"]
    assert [head.row and head.row.method for head in heads] == ["ep", "esimpool"]
    assert {read_spec(file).method for file in heads_with_maps(probe_run).values()} == {
        "ep", "esimpool",
    }  # fmt: skip
    lost = probe_run / "heads/abmilp-other.safetensors"
    save_head(lost, replace(read_spec(heads[0].file), method="abmilp"), {"x": torch.zeros(1)})
    assert head_of(probe_run, results, settings, file=lost).row is None
    assert head_of(probe_run, results, settings, file=lost).name == "abmilp-other"
