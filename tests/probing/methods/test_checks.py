"""What a run cannot do is refused before anything is computed."""

from conftest import assert_bad_input
from helpers.probe_runs import refused

SMALL = ("--backbone", "timm:test_vit?image_size=64", "--random-init", "--epochs", 1)


def test_what_a_backbone_does_not_have_is_refused_before_it_runs(probe, tmp_path):
    bare = ["--backbone", "timm:test_resnet?image_size=64"]
    refused(
        probe(*bare, "--method", "knn", "--read", "raw"), tmp_path, "knn cannot read 'mean_raw'"
    )
    refused(probe(*bare, "--tokens", "all"), tmp_path, "ep cannot read 'all'", "patches, mean")
    result = probe("--layers", "1,-1", "--method", "linear", "--read", "pooled")
    refused(result, tmp_path, "linear cannot read 'pooled': layer 1, 6 of timm:test_vit")


def test_views_without_crops_are_refused(probe):
    assert_bad_input(probe("--views", "2"), "--views 2 are crops: add --augment crops")


def test_queries_that_do_not_fit_the_width_leave_nothing_behind(run_cli, image_folder, tmp_path):
    data = f"imagefolder:{image_folder}"
    result = run_cli("probe", "-d", data, "--queries", 7, *SMALL, "-o", tmp_path / "run")
    assert_bad_input(result, "got dim=64, width_divisor=1, num_queries=7")
    assert not (tmp_path / "run").exists()
    assert "extracting" not in result.stderr


def test_options_that_no_method_has_are_answered_with_the_nearest(probe, tmp_path):
    nowhere = {"data": "imagefolder:/nowhere"}  # before images are looked for
    for text, *parts in (
        ("ep.num_querys=4", "unknown option of ep 'num_querys'; did you mean 'num_queries'"),
        ("abmlp.depth=3", "unknown method or group of settings 'abmlp'; did you mean 'abmilp'"),
        ("abmilp.mode=bth", "abmilp.mode: input should be 'both', 'map' or 'none', got 'bth'"),
        ("abmilp.activation=gelu", "abmilp.activation: input should be 'tanh' or 'relu'"),
        ("abmilp.depth=0", "abmilp.depth: input should be greater than or equal to 1, got 0"),
        ("siglip.num_heads=two", "siglip.num_heads", "valid integer", "got 'two' (from --set)"),
        ("knn.k=true", "knn.k", "got True"),
        ("cbam.depth=3", "unknown option of cbam 'depth'"),
    ):
        refused(probe("--set", text, **nowhere), tmp_path, *parts)


def test_heads_that_do_not_divide_the_width_are_refused_before_images_are_read(probe, tmp_path):
    result = probe("--method", "siglip", "--set", "siglip.num_heads=8,7")
    refused(result, tmp_path, "multiple of num_heads, got dim=64, num_heads=7")
    assert "extracting" not in result.stderr
