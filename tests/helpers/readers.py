"""All that reads what others wrote: a valid file or value of each kind, and what reads it changed.

`tests/test_fuzz.py` gives every reader a few changed inputs, `tests/fuzz.py` as many as wanted.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

from helpers.extrapolated_file import told_of, write_told
from helpers.mutations import check_message
from helpers.probe_problem import divide
from helpers.saved_runs import forget_manifest
from helpers.shown_audit import shown_audit
from helpers.slimp_run import pretrain, table_rows, write_table
from helpers.small_data import noise
from helpers.stores import ROWS, SHARD_ROWS, SPEC, write_store
from helpers.tiny_encoders import write_timm
from toolkit_common.audit.records import FOLDER as AUDITS
from toolkit_common.audit.records import find_audit, record_audit
from toolkit_common.backbones.exported import DESCRIPTION, read_description, sealed
from toolkit_common.backbones.load import load_backbone
from toolkit_common.backbones.named.alias import read_aliases
from toolkit_common.backbones.weights.state_dicts import read_state_dicts
from toolkit_common.cli.app import NAMED_WRONGLY, app, wrong_name
from toolkit_common.config import parse_assignment, read_yaml, resolve
from toolkit_common.data.extrapolated import read_extrapolated
from toolkit_common.data.splits import make_splits, read_splits
from toolkit_common.errors import InputError
from toolkit_common.features.inventory import find_damage, list_stores
from toolkit_common.features.planner import GIB
from toolkit_common.features.store import INDEX, StoreWriter, TokenStore
from toolkit_common.images.open import open_image, read_values
from toolkit_common.images.transforms import Preprocess, build_eval_transform
from toolkit_common.images.wide import PixelRange
from toolkit_common.pages.provenance import command_of, origin
from toolkit_common.runs.checkpoints import load_checkpoint, save_checkpoint
from toolkit_common.runs.facts import read_facts
from toolkit_common.runs.files import cache_folder, read_json, read_log, sha256_of, write_json
from toolkit_common.runs.folder import RunFolder
from toolkit_common.runs.listing import damage_of, look_at_run
from toolkit_common.runs.locks import unlock_all
from toolkit_common.runs.manifest import refuse_changed
from toolkit_common.seen.record import read_seen
from toolkit_common.seen.secret import VARIABLE, read_secret
from toolkit_common.sources.card import read_card, write_card
from toolkit_common.sources.load import load_data
from toolkit_common.study.file import read_study
from toolkit_common.synthetic.make import MAKERS, make_data
from toolkit_probing.heads.files import load_head
from toolkit_probing.published.rows import FILE as PUBLISHED
from toolkit_probing.published.rows import read_published
from toolkit_probing.results.contents import diverged_heads, read_results
from toolkit_probing.results.saved import read_run
from toolkit_probing.settings import ProbeSettings
from toolkit_slimp.exporting.bank import read_bank
from toolkit_slimp.exporting.read import load_slimp
from toolkit_slimp.metadata.schema_file import load_schema
from toolkit_slimp.reports.evidence import losses, recall_by_epoch, spread
from toolkit_slimp.reports.watched import Watched, read_watched, write_watched
from toolkit_slimp.settings import SlimpSettings

VIT = "timm:test_vit?image_size=32"
STUDIES = Path(__file__).parents[2] / "studies"
PICTURES = {
    "a.png": {}, "b.jpg": {}, "c.tif": {}, "d.bmp": {}, "e.gif": {}, "f.webp": {}, "g.ppm": {},
    "h.tga": {}, "i.jp2": {},
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A valid file or value, and what reads it, or refuses it with an `InputError`, once changed.

    Attributes:
        name: What the file or the option is called.
        content: As it is valid.
        read: Takes it changed.
    """

    name: str
    content: bytes
    read: Callable[[bytes], object]


@dataclass(frozen=True)
class Reader:
    """A reader.

    Attributes:
        cases: Makes valid ones in a folder of its own, of what `make_world` made.
        share: Of all inputs, beside that of others: less for what takes long.
    """

    cases: Callable[[Path, Path], list[Case]]
    share: float = 1.0


def make_world(folder: Path) -> None:
    """Write a data set, a probe and a pre-training, as their commands do."""
    folder.mkdir(parents=True)
    data = write_table(folder / "table.csv", table_rows())
    tiny = ["--backbone", VIT, "--random-init", "--epochs", "1", "--no-report", "--label", "label"]
    command(
        "probe", "--data", data, *tiny, "--method", "ep,linear,knn", "-o", str(folder / "probe"),
        "--store-dir", str(folder / "stores"),
    )  # fmt: skip
    pretrain(data, folder / "slimp", "--bank")
    (folder / "images").mkdir()
    for seed, (name, options) in enumerate(PICTURES.items()):
        noise((20, 16), seed=seed).save(folder / "images" / name, **options)
    wide = np.arange(320, dtype=np.uint16).reshape(16, 20) * 200
    Image.fromarray(wide).save(folder / "images" / "wide.png")


def command(*words: str) -> str:
    """Run a command; returns stdout.

    Raises:
        InputError: If it refused its input, in one line.
    """
    result = CliRunner().invoke(app, list(words), prog_name="toolkit")
    unlock_all()
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert "\x1b" not in result.output, result.output
    if result.exit_code == 2:
        lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, result.stderr
        check_message(lines[0])
        raise InputError(lines[0])
    assert result.exit_code in (0, 3), result.output  # 3: an audit that met a leak
    return result.stdout


def of_files(paths: Iterable[Path], read: Callable[[], object]) -> list[Case]:
    """Return a case for each file, which is there changed while `read` runs."""
    return [
        Case(path.name, (content := path.read_bytes()), partial(_put, path, content, read))
        for path in paths
    ]


def of_texts(texts: Mapping[str, str], read: Callable[[str], object]) -> list[Case]:
    """Return a case for each text, as a shell gives it: what is no UTF-8 as half characters."""
    return [Case(name, text.encode(), partial(_read_text, read)) for name, text in texts.items()]


def _read_text(read: Callable[[str], object], changed: bytes) -> object:
    return _named(lambda: read(changed.decode(errors="surrogateescape")))


def _named(read: Callable[[], object]) -> object:
    """Read as a command does, which knows names that no file can have."""
    try:
        return read()
    except InputError:
        raise
    except NAMED_WRONGLY as error:
        if (reason := wrong_name(error)) is None:
            raise
        raise InputError(reason) from error


def _put(path: Path, content: bytes, read: Callable[[], object], changed: bytes) -> object:
    path.write_bytes(changed)
    try:
        return _named(read)
    finally:
        path.write_bytes(content)


def _copied(world: Path, own: Path, name: str) -> Path:
    """Copy a run without its checksums, by which most that is changed would not be read at all."""
    folder = Path(shutil.copytree(world / name, own / name))
    forget_manifest(folder)
    return folder


def _descriptions(world: Path, own: Path) -> list[Case]:
    folder = _copied(world, own, "slimp") / "encoder"
    return of_files([folder / DESCRIPTION], lambda: (read_description(folder), read_seen(folder)))


def _resealed(world: Path, own: Path) -> list[Case]:
    """Return descriptions whose author gave them the checksum that they are to have."""
    folder = _copied(world, own, "slimp") / "encoder"
    path = folder / DESCRIPTION

    def read() -> object:
        content = read_json(path)
        write_json(path, sealed(content) if isinstance(content, dict) else content)
        return load_backbone(str(folder)), read_seen(folder), load_slimp(folder)

    return of_files([path], read)


def _encoder_files(world: Path, own: Path) -> list[Case]:
    """Return files beside a description that names them as they are: a hostile folder's."""
    folder = _copied(world, own, "slimp") / "encoder"
    path = folder / DESCRIPTION
    original = path.read_bytes()

    def read(name: str) -> object:
        content, digest = read_json(path), sha256_of(folder / name)
        facts = content["provenance"]
        if name == "encoder.safetensors":
            content["weights_sha256"] = digest
        elif name == "seen.safetensors":
            facts["seen"]["sha256"] = digest
        else:
            facts["files"][name] = digest
        write_json(path, sealed(content))
        try:
            return (
                load_backbone(str(folder)),
                read_seen(folder),
                load_slimp(folder),
                read_bank(folder),
            )
        finally:
            path.write_bytes(original)

    listed = ["encoder.safetensors", "seen.safetensors", *read_json(path)["provenance"]["files"]]
    return [case for name in listed for case in of_files([folder / name], partial(read, name))]


def _schemas(world: Path, own: Path) -> list[Case]:
    path = own / "schema.json"
    shutil.copy(world / "slimp" / "schema.json", path)
    data = load_data(f"csv:{world / 'table.csv'}")
    return of_files([path], lambda: load_schema(path, data, np.arange(18)))


def _heads(world: Path, own: Path) -> list[Case]:
    paths = sorted((_copied(world, own, "probe") / "heads").glob("*.safetensors"))
    store = TokenStore(next((world / "stores").rglob(INDEX)).parent)
    features = next(iter(store.read(np.arange(4)).values()))
    return [case for path in paths for case in of_files([path], partial(load_head, path, features))]


def _results(world: Path, own: Path) -> list[Case]:
    run = _copied(world, own, "probe")
    return of_files([run / "results.json"], lambda: read_results(run))


def _predictions(world: Path, own: Path) -> list[Case]:
    run = _copied(world, own, "probe")

    def read() -> object:
        saved = read_run(run)
        return saved.rows, saved.baselines, saved.test_rows, saved.recorded

    paths = [*sorted((run / "predictions").iterdir())[:2], run / "test_rows.parquet"]
    return of_files(paths, read)


def _listed(world: Path, own: Path) -> list[Case]:
    run = _copied(world, own, "probe")
    names = ("run.json", "config.yaml", "results.json", "DONE")
    return of_files([run / name for name in names], lambda: look_at_run(run))


def _manifests(world: Path, own: Path) -> list[Case]:
    run = Path(shutil.copytree(world / "probe", own / "probe"))

    def read() -> object:
        refuse_changed(run, "splits.csv", "results.json")
        RunFolder(run).drop_checkpoints()
        return read_run(run).rows, damage_of(run)

    return of_files([run / "manifest.json"], read)


def _facts(world: Path, own: Path) -> list[Case]:
    run = _copied(world, own, "probe")

    def read() -> object:
        facts = read_facts(run)
        return list(origin(facts)), command_of(facts), RunFolder(run).begun_in()

    return of_files([run / "run.json"], read)


def _logs(world: Path, own: Path) -> list[Case]:
    """Return logs that a run goes on to write, reads as it ends, and draws."""
    cases = []
    for name in ("probe", "slimp"):
        run = _copied(world, own, name)
        reads = partial(_go_on_from_log, run)
        cases += of_files([run / "metrics.jsonl"], reads)
    return cases


def _go_on_from_log(run: Path) -> object:
    log = read_log(run)
    assert all(isinstance(line, dict) for line in log)
    RunFolder(run).rewind_log(2)
    return (
        diverged_heads(run, "val_balanced_accuracy"),
        list(losses(log)), list(recall_by_epoch(log)), list(spread(log, note="")),
    )  # fmt: skip


def _settings(world: Path, own: Path) -> list[Case]:
    cases = []
    for name, kind in (("probe", ProbeSettings), ("slimp", SlimpSettings)):
        path = own / f"{name}.yaml"
        shutil.copy(world / name / "config.yaml", path)
        cases += of_files([path], partial(_resolve_file, path, kind))
    return cases


def _resolve_file(path: Path, kind: Any) -> object:
    return resolve(kind, [read_yaml(path)])


def _assignments(world: Path, own: Path) -> list[Case]:
    del world, own
    texts = {"set": "ep.num_queries=8,16", "json": "lr=[0.1, 0.2]", "nested": "knn.k={a: 1}"}
    for kind in (ProbeSettings, SlimpSettings):
        for name, value in kind().model_dump(mode="json").items():
            texts[name] = f"{name}={json.dumps(value)}"
    kinds = (ProbeSettings, SlimpSettings)

    def read(text: str) -> object:
        layer = parse_assignment(text)
        known = [kind for kind in kinds if set(layer.values) <= set(kind.model_fields)] or kinds[:1]
        return [
            resolve(kind, [layer], group_names=lambda: ["ep", "knn"]).to_yaml() for kind in known
        ]

    return of_texts(texts, read)


def _splits(world: Path, own: Path) -> list[Case]:
    data, path = load_data(f"csv:{world / 'table.csv'}"), own / "splits.csv"
    shutil.copy(world / "probe" / "splits.csv", path)
    return of_files([path], lambda: read_splits(path, data))


def _stores(world: Path, own: Path) -> list[Case]:
    del world
    folder = write_store(own)
    paths = [path for path in folder.iterdir() if path.suffix in (".json", ".safetensors")]
    cases = of_files(paths, lambda: TokenStore(folder).read(np.arange(ROWS)))
    # Of one that was cut short the checksums beside its files are read.
    started = write_store(own / "started", is_finished=False)
    writer = StoreWriter(started, SPEC, shard_rows=SHARD_ROWS)

    def go_on() -> object:
        return [
            *map(writer.has, range(writer.num_shards)),
            *find_damage(*list_stores(started.parent)),
        ]

    return cases + of_files(started.glob("*.xxh3"), go_on)


def _resealed_stores(world: Path, own: Path) -> list[Case]:
    """Return shards whose author wrote the checksum of the index anew."""
    del world
    folder = write_store(own)
    index = (folder / INDEX).read_bytes()

    def read() -> object:
        from toolkit_common.features.shards import checksum

        content = read_json(folder / INDEX)
        content["shards"] = {name: checksum(folder / name) for name in content["shards"]}
        write_json(folder / INDEX, content)
        try:
            return TokenStore(folder).read(np.arange(ROWS))
        finally:
            (folder / INDEX).write_bytes(index)

    return of_files(folder.glob("*.safetensors"), read)


def _tables(world: Path, own: Path) -> list[Case]:
    write_table(own / "table.csv", table_rows())
    frame = pd.read_csv(own / "table.csv")
    frame.to_csv(own / "table.tsv", index=False, sep="\t", encoding="utf-16")
    frame.to_parquet(own / "table.parquet")
    frame.to_excel(own / "table.xlsx", index=False)
    del world
    return [
        case
        for kind in ("csv", "tsv", "parquet", "xlsx")
        for case in of_files([own / f"table.{kind}"], partial(_load, f"csv:table.{kind}"))
    ]


def _load(identifier: str) -> object:
    data = load_data(identifier)
    return make_splits(data), data.labels()


def _lesions(world: Path, own: Path) -> list[Case]:
    del world
    cases = []
    for name in MAKERS:
        make_data(name, own / name, rows=40, seed=0, layout=None, pool=None)
        tables = [
            path
            for path in sorted((own / name).rglob("*"))
            if path.suffix.lower() in (".csv", ".txt", ".xlsx", ".tab", ".json")
        ]
        cases += of_files(tables, partial(load_data, f"{name}:{name}"))
    return cases


def _data_ids(world: Path, own: Path) -> list[Case]:
    write_table(own / "table.csv", table_rows())
    for name in ("a", "b"):
        shutil.copytree(world / "images", own / "folder" / name)
    texts = [
        "csv:table.csv?label=label&group=group&image=image", "imagefolder:folder?classes=a,b",
        "lesions", "digits?range=0,255", "hf:folder?streaming=1&config=x", "torchvision:MNIST",
        "pad-ufes-20:folder?allow_partial=1", "table.csv", "card.yaml", "ham10000:folder",
    ]  # fmt: skip
    write_card(load_data("csv:table.csv"), own / "card.yaml")
    return of_texts({text: text for text in texts}, load_data)


def _cards(world: Path, own: Path) -> list[Case]:
    del world
    write_table(own / "table.csv", table_rows())
    path = own / "card.yaml"
    write_card(load_data("csv:table.csv"), path)
    return of_files([path], lambda: (read_card(path), load_data("card.yaml")))


def _encoder_ids(world: Path, own: Path) -> list[Case]:
    shutil.copytree(world / "slimp" / "encoder", own / "encoder")
    write_timm(own / "local", "test_vit")
    save_file(
        load_backbone(VIT, random_init=True).encoder.model.state_dict(), own / "w.safetensors"
    )
    texts = [
        VIT,
        f"{VIT}&mean=0.5,0.5,0.5&std=0.5,0.5,0.5&crop_pct=0.9&interpolation=bicubic",
        "open_clip:ViT-B-32@openai", "timm:test_vit?layers=1,2&final_norm=none", "dinov2-small",
    ]  # fmt: skip
    filled = [f"{VIT}&weights=w.safetensors", "encoder?layer=-1", "timm:local-dir:local"]
    untrained = partial(load_backbone, random_init=True)
    return [
        *of_texts({text: text for text in texts}, untrained),
        *of_texts({text: text for text in filled}, load_backbone),
    ]


def _weights(world: Path, own: Path) -> list[Case]:
    del world
    state = {f"blocks.{n}.w": torch.ones(2, 2) for n in range(3)}
    save_file(state, own / "a.safetensors")
    torch.save({"model": state, "args": {"lr": 0.1}}, own / "b.pth")
    torch.save(state, own / "c.pt", _use_new_zipfile_serialization=False)
    return [
        case
        for name in ("a.safetensors", "b.pth", "c.pt")
        for case in of_files([own / name], partial(read_state_dicts, own / name))
    ]


def _local_models(world: Path, own: Path) -> list[Case]:
    del world
    text = write_timm(own / "local", "test_vit")
    paths = [own / "local" / name for name in ("config.json", "model.safetensors")]
    return of_files(paths, lambda: load_backbone(text))


def _images(world: Path, own: Path) -> list[Case]:
    folder = _copied(world, own, "images")
    transform = build_eval_transform(Preprocess((32, 32)))

    def read(path: Path) -> object:
        place = {"bytes": None, "path": str(path)}
        values = read_values(place)
        return values, transform(open_image(place))

    paths = sorted(path for path in folder.iterdir() if path.stem != "wide")
    wide = {"bytes": None, "path": str(folder / "wide.png"), "range": PixelRange(0, 65535)}
    of_wide = of_files([folder / "wide.png"], lambda: transform(open_image(wide)))
    return of_wide + [case for path in paths for case in of_files([path], partial(read, path))]


def _studies(world: Path, own: Path) -> list[Case]:
    del world
    cases = []
    for source in sorted(STUDIES.glob("*.yaml")):
        path = Path(shutil.copy(source, own))
        cases += of_files([path], partial(command, "study", "plan", str(path)))
        cases += of_files([path], partial(read_study, path))
    return cases


def _extrapolated(world: Path, own: Path) -> list[Case]:
    data = load_data(f"csv:{world / 'table.csv'}")
    path = write_told(own / "told.parquet", told_of(data))

    def read() -> object:
        item = read_extrapolated(path)
        return item.table_of(data, np.arange(len(data)))

    return of_files([path], read)


def _watched(world: Path, own: Path) -> list[Case]:
    del world
    tensors = {name: torch.ones(4, 3) for name in ("features", "images", "lesions")}
    codes = {"patient": [0, 0, 1, 1], "metadata_code": [0, 1, 2, 3], "patient_code": [0, 0, 1, 1]}
    rows = {"image_id": list("abcd"), "label": list("xyxy"), "metadata.age": [1.0] * 4, **codes}
    write_watched(own, Watched(tensors, pd.DataFrame(rows), "label"))

    def read() -> object:
        watched = read_watched(own)
        return watched and (watched.pairs("lesion"), watched.pairs("patient"))

    return of_files(sorted((own / "held_out").iterdir()), read)


def _secrets(world: Path, own: Path) -> list[Case]:
    del world
    path = own / "secret"
    path.write_text("ab" * 32)
    path.chmod(0o600)

    def read() -> object:
        with pytest.MonkeyPatch.context() as patch:  # puts back what the tests that follow need
            patch.setenv(VARIABLE, str(path))
            return read_secret()

    return of_files([path], read)


def _checkpoints(world: Path, own: Path) -> list[Case]:
    """Return states whose checksum is that of what they hold, and checksums."""
    del world
    save_checkpoint(own, 3, {"w": torch.ones(3), "step": 3, "name": "x"})
    state, digest = own / "step-000000003.pt", own / "step-000000003.sha256"

    def read() -> object:
        digest.write_text(sha256_of(state))
        return load_checkpoint(own)

    return [*of_files([state], read), *of_files([digest], lambda: load_checkpoint(own))]


def _passes(world: Path, own: Path) -> list[Case]:
    del world
    read = partial(divide, own / "run", 1 / GIB)
    read()
    return of_files([own / "run/checkpoints/all/passes.json"], read)


def _verdicts(world: Path, own: Path) -> list[Case]:
    """Return what audits found, which a page shows and another audit is put before."""
    del world, own
    audit = shown_audit()
    record_audit(audit)

    def read() -> object:
        found = find_audit(audit.data.fingerprint(), label="label", splits=audit.splits)
        record_audit(audit)
        return found

    return of_files((cache_folder() / AUDITS).iterdir(), read)


def _names(world: Path, own: Path) -> list[Case]:
    del world
    path = own / "encoders.yaml"
    path.write_text("own: {id: 'timm:test_vit?image_size=32', licence: MIT}\nb: timm:test_vit\n")
    return of_files([path], lambda: read_aliases(path, {}))


def _published(world: Path, own: Path) -> list[Case]:
    del world
    path = Path(shutil.copy(PUBLISHED, own))
    return of_files([path], lambda: read_published(path))


def _reports(world: Path, own: Path) -> list[Case]:
    run = _copied(world, own, "probe")
    names = ["results.json", "run.json", "config.yaml", "DONE", "test_rows.parquet"]
    paths = [run / name for name in names]
    cases = []
    for words in (["--format", "csv"], ["--by", "site"], ["--json"]):
        cases += of_files(paths, partial(command, "report", str(run), *words))
    cases += of_files(paths, partial(command, "compare", str(run)))
    cases += of_files(paths, partial(command, "report", "--leaderboard", str(run)))
    return [*cases, *of_files(paths, partial(command, "runs", "ls", str(own)))]


def _pages(world: Path, own: Path) -> list[Case]:
    cases = []
    for name in ("probe", "slimp"):
        run = _copied(world, own, name)
        names = ["results.json", "run.json", "config.yaml", "metrics.jsonl", "schema.json"]
        paths = [run / item for item in names if (run / item).is_file()]
        words = ["report", str(run), "-o", str(own / "page.html"), "--no-pictures"]
        cases += of_files(paths, partial(command, *words))
    return cases


def _predicted(world: Path, own: Path) -> list[Case]:
    run, images = _copied(world, own, "probe"), world / "images"
    names = ["results.json", "run.json", "config.yaml", "splits.csv"]
    paths = [*(run / name for name in names), *sorted((run / "heads").glob("*.safetensors"))[:2]]
    words = ["predict", "--from", str(run), "--images", str(images / "a.png")]
    return of_files(paths, partial(command, *words))


def _words(world: Path, own: Path) -> list[Case]:
    """Return values of the options of commands, one changed at a time."""
    write_table(own / "table.csv", table_rows())
    for name in ("probe", "slimp"):
        _copied(world, own, name)
    calls = [
        ["data", "describe", "csv:table.csv"],
        ["data", "schema", "csv:table.csv"],
        ["probe", "--data", "csv:table.csv", "--backbone", VIT, "--method", "knn", "--label",
         "label", "--output", "out", "--splits", "probe/splits.csv", "--metadata", "told.parquet",
         "--store-dir", "stores", "--encoders", "none.yaml", "--no-report"],
        ["predict", "--from", "probe", "--images", "0.png", "--row", "knn"],
        ["report", "probe", "--metric", "auroc", "--by", "site", "--output", "page.htm"],
        ["compare", "probe", "probe", "--rows", "knn,knn"],
        ["extrapolate", "slimp", "--from", "slimp", "--data", "csv:table.csv", "-o", "t.pdf"],
        ["export", "shared", "--from", "slimp"],
        ["runs", "ls", "probe"], ["cache", "ls", "stores"], ["backbones", "vit_tiny*"],
        ["study", "plan", "study.yaml"], ["attention", "--from", "slimp", "--head", "ep"],
    ]  # fmt: skip
    return [
        case
        for words in calls
        for at in range(1, len(words))
        if not words[at].startswith("-")
        for case in of_texts({words[at]: words[at]}, partial(_with, words, at))
    ]


def _with(words: Sequence[str], at: int, value: str) -> str:
    for name in ("out", "shared"):
        shutil.rmtree(name, ignore_errors=True)
    return command(*words[:at], value, *words[at + 1 :])


READERS: dict[str, Reader] = {
    "encoder.json": Reader(_descriptions),
    "encoder.json, sealed again": Reader(_resealed, 0.02),
    "files of an encoder": Reader(_encoder_files, 0.03),
    "schema.json": Reader(_schemas),
    "heads": Reader(_heads),
    "results.json": Reader(_results),
    "predictions": Reader(_predictions, 0.3),
    "runs": Reader(_listed),
    "run.json": Reader(_facts, 0.3),
    "manifest.json": Reader(_manifests, 0.3),
    "metrics.jsonl": Reader(_logs, 0.3),
    "config.yaml": Reader(_settings),
    "--set": Reader(_assignments),
    "splits.csv": Reader(_splits),
    "stores": Reader(_stores),
    "stores, sealed again": Reader(_resealed_stores),
    "tables": Reader(_tables, 0.3),
    "lesion tables": Reader(_lesions, 0.1),
    "data ids": Reader(_data_ids, 0.1),
    "data cards": Reader(_cards, 0.3),
    "encoder ids": Reader(_encoder_ids, 0.05),
    "weights": Reader(_weights),
    "folders of timm": Reader(_local_models, 0.04),
    "images": Reader(_images),
    "studies": Reader(_studies, 0.04),
    "extrapolated metadata": Reader(_extrapolated),
    "held-out embeddings": Reader(_watched),
    "secret": Reader(_secrets),
    "checkpoints": Reader(_checkpoints),
    "passes.json": Reader(_passes, 0.3),
    "verdicts of audits": Reader(_verdicts),
    "short names": Reader(_names),
    "published.yaml": Reader(_published, 0.05),
    "report, compare, runs": Reader(_reports, 0.03),
    "pages": Reader(_pages, 0.004),
    "predict": Reader(_predicted, 0.02),
    "command lines": Reader(_words, 0.3),
}
