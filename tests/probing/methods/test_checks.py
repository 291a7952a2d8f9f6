"""What a run cannot do is refused before anything is computed."""

import pytest

from conftest import assert_bad_input
from helpers.probe_runs import refused

SMALL = ("--backbone", "timm:test_vit?image_size=64", "--random-init", "--epochs", 1)


@pytest.mark.slow
def test_what_a_backbone_does_not_have_is_refused_before_it_runs(probe, tmp_path):
    bare = ["--backbone", "timm:test_resnet?image_size=64"]
    refused(
        probe(*bare, "--method", "knn", "--vectors", "raw"), tmp_path, "knn cannot read 'mean_raw'"
    )
    refused(probe(*bare, "--tokens", "all"), tmp_path, "ep cannot read 'all'", "patches, mean")
    result = probe("--layers", "1,-1", "--method", "linear", "--vectors", "pooled")
    refused(result, tmp_path, "linear cannot read 'pooled': layer 1, 6 of timm:test_vit")


def test_views_without_crops_are_refused(probe):
    assert_bad_input(probe("--views", "2"), "--views 2 are crops: add --augment crops")


def test_queries_that_do_not_fit_the_width_leave_nothing_behind(run_cli, image_folder, tmp_path):
    data = f"imagefolder:{image_folder}"
    result = run_cli(
        "probe", "-d", data, "--set", "ep.num_queries=7", *SMALL, "-o", tmp_path / "run"
    )
    assert_bad_input(result, "got dim=64, width_divisor=1, num_queries=7")
    assert not (tmp_path / "run").exists()
    assert "extracting" not in result.stderr


def test_options_that_no_method_has_are_answered_with_the_nearest(probe, tmp_path):
    nowhere = {"data": "imagefolder:/nowhere"}  # before images are looked for
    for text, *parts in (
        ("ep.num_querys=4", "--set: unknown option of ep 'num_querys'; did you mean 'num_queries'"),
        (
            "abmlp.depth=3",
            "abmilp, ",
            "epochs, ",
            "--set: unknown method or group of settings 'abmlp'; did you mean 'abmilp'",
        ),
        ("abmilp.mode=bth", "abmilp.mode: input should be 'both', 'map' or 'none', got 'bth'"),
        ("abmilp.activation=gelu", "abmilp.activation: input should be 'tanh' or 'relu'"),
        ("abmilp.depth=0", "abmilp.depth: input should be greater than or equal to 1, got 0"),
        ("siglip.num_heads=two", "siglip.num_heads", "valid integer", "got 'two' (from --set)"),
        ("knn.k=true", "knn.k", "got True"),
        ("cbam.depth=3", "--set: unknown option of cbam 'depth': cbam has no options"),
        ("linear.foo=1", "--set: unknown option of linear 'foo': linear has no options"),
        ("ep=8", "--set: ep is a group of settings, got 8: give --set ep.NAME=VALUE"),
    ):
        refused(probe("--set", text, **nowhere), tmp_path, *parts)


def test_a_misspelt_group_is_answered_with_its_file_and_what_there_is(probe, tmp_path):
    (tmp_path / "c.yaml").write_text("abmlp: {depth: 3}\nwrmup: {epochs: 3}\n")
    result = probe("--config", tmp_path / "c.yaml")
    refused(result, tmp_path, "c.yaml: unknown method or group of settings 'abmlp'", "'abmilp'")
    (tmp_path / "c.yaml").write_text("ep:\n")
    refused(probe("--config", tmp_path / "c.yaml"), tmp_path, "c.yaml: ep is a group of settings")


def test_options_of_methods_that_are_not_requested_are_refused(probe, tmp_path):
    for options in (["--set", "abmilp.depth=3"], ["--set", "options.abmilp.depth=3"]):
        result = probe("--method", "linear,ep", *options)
        message = "--set: abmilp.depth would not be read: --method linear,ep has none"
        refused(result, tmp_path, message)


@pytest.mark.slow
def test_an_option_of_before_is_named_where_no_method_reads_it(probe):
    result = probe("--method", "knn", "--k", "3", "--queries", "4")
    assert result.exit_code == 0, result.output
    assert "note: not read, as --method knn has none: ep.num_queries (--queries)" in result.stderr


@pytest.mark.slow
def test_options_of_other_methods_in_a_file_or_a_protocol_are_left_alone(probe, tmp_path):
    assert probe("--set", "ep.num_queries=4").exit_code == 0
    config = tmp_path / "run/config.yaml"
    other = probe("--config", config, "--method", "knn", output=tmp_path / "other")
    assert other.exit_code == 0, other.output
    (note,) = [line for line in other.stderr.splitlines() if "not read" in line]
    assert note == (
        f"note: not read, as --method knn has none: ep.num_queries ({config}), ep.width_divisor "
        f"({config}), ep.value_init ({config})"
    )
    again = probe("--method", "knn", "--resume", output=tmp_path / "other")
    assert again.exit_code == 0, again.output
    assert "not read" not in again.stderr
    named = probe("--protocol", "dino-knn", "--method", "linear", output=tmp_path / "named")
    assert named.exit_code == 0, named.output
    assert "not read" not in named.stderr


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--method", "all"], ["--head is judged alone, as --method ep: got --method all"]),
        (["--set", "ep.num_queries=8"], ["--set: ep.num_queries would not be read: --head brings"]),
        (["--queries", "8"], ["--queries: ep.num_queries would not be read: --head brings"]),
        (["--shots", "5000"], ["--shots 5000 does nothing with --head"]),
        (["--label-fraction", "0.1,1"], ["--label-fraction 0.1,1.0 does nothing with --head"]),
    ],
)
def test_what_a_published_head_would_not_read_is_refused(probe, tmp_path, options, parts):
    result = probe("--head", tmp_path / "h.pth", *options, data="imagefolder:/nowhere")
    refused(result, tmp_path, *parts)


def test_methods_that_need_images_are_answered_with_those_that_do_not(probe, tmp_path):
    result = probe("--inputs", "lesion", "--method", "ep")
    refused(result, tmp_path, "use linear, knn or logreg, or --inputs image+meta")


def test_heads_that_do_not_divide_the_width_are_refused_before_images_are_read(probe, tmp_path):
    result = probe("--method", "siglip", "--set", "siglip.num_heads=8,7")
    refused(result, tmp_path, "multiple of num_heads, got dim=64, num_heads=7")
    assert "extracting" not in result.stderr
