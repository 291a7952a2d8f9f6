"""Two processes compute what one does, and a relaunched command ends as its workers did."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from helpers.devices import DEVICE, on_gpu
from helpers.kills import wait_for_end
from helpers.plugins import write_plugin
from helpers.ranks import run_ranks
from toolkit_common.errors import InputError
from toolkit_common.training import distributed
from toolkit_common.training.distributed import (
    BatchNorm,
    average_gradients_,
    build_accelerator,
    gather_rows,
    on_main,
    own_accelerator,
    rank,
    relaunch,
    world_size,
)

# One process


def test_one_process_on_the_cpu_computes_in_fp32() -> None:
    accelerator = build_accelerator(device="cpu")
    assert accelerator.device.type == "cpu"
    assert (accelerator.num_processes, world_size(), rank()) == (1, 1, 0)
    assert accelerator.mixed_precision == "no"


def test_bf16_may_be_requested_on_the_cpu() -> None:
    assert build_accelerator(device="cpu", precision="bf16").mixed_precision == "bf16"


def test_fp16_needs_cuda() -> None:
    with pytest.raises(InputError, match="precision fp16 needs CUDA: use fp32 or bf16"):
        build_accelerator(device="cpu", precision="fp16")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_must_exist_to_be_requested() -> None:
    with pytest.raises(InputError, match="--device cuda was requested and torch sees no CUDA"):
        build_accelerator(device="cuda")


def test_calls_have_accelerators_of_their_own_and_leave_the_caller_s() -> None:
    own = Accelerator(cpu=True, mixed_precision="no")
    for precision, expected in (("bf16", "bf16"), ("fp32", "no"), ("bf16", "bf16")):
        with own_accelerator(device="cpu", precision=precision) as accelerator:
            assert accelerator.mixed_precision == expected
    assert (own.mixed_precision, own.num_processes, own.device.type) == ("no", 1, "cpu")


def test_the_caller_s_state_comes_back_after_an_error() -> None:
    own = Accelerator(cpu=True, mixed_precision="bf16")
    with (
        pytest.raises(InputError, match="fp16 needs CUDA"),
        own_accelerator(device="cpu", precision="fp16"),
    ):
        pass
    assert own.mixed_precision == "bf16"


def test_one_process_gathers_its_own_rows() -> None:
    rows = torch.ones(2, 3)
    assert gather_rows(rows) is rows


@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 4)])
def test_in_one_process_batch_norm_is_that_of_torch_to_the_bit(shape: tuple[int, ...]) -> None:
    ours, torchs = BatchNorm(3), nn.BatchNorm1d(3)
    for _ in range(3):
        batch = torch.randn(shape)
        assert torch.equal(ours(batch), torchs(batch))
    assert all(map(torch.equal, ours.state_dict().values(), torchs.state_dict().values()))
    assert torch.equal(ours.eval()(batch), torchs.eval()(batch))


# Two processes


def contrast(vectors: Tensor, others: Tensor, first: int, count: int) -> Tensor:
    """Mean InfoNCE of rows `first` to `first + count` against all rows."""
    logits = vectors[first : first + count] @ others.T
    return F.cross_entropy(logits, torch.arange(first, first + count))


def encode(inputs: Tensor) -> tuple[nn.Linear, Tensor]:
    torch.manual_seed(0)
    encoder = nn.Linear(5, 4, dtype=torch.float64)
    return encoder, F.normalize(encoder(inputs), dim=-1)


@pytest.mark.dist
def test_gradients_are_averaged_and_parameters_without_one_are_left_alone() -> None:
    def my_share(accelerator: Accelerator) -> tuple[Tensor | None, Tensor | None]:
        used, unused = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(2))
        (used.sum() * (1.0 + 2.0 * accelerator.process_index)).backward()
        average_gradients_([used, unused])
        return used.grad, unused.grad

    for used, unused in run_ranks(my_share):
        assert used is not None
        assert used.tolist() == [2.0, 2.0, 2.0]
        assert unused is None


@pytest.mark.dist
def test_tensors_of_any_shape_and_dtype_are_averaged_together_in_pieces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distributed, "BUCKET_BYTES", 20)

    def my_share(accelerator: Accelerator) -> list[Tensor]:
        shapes = [((2, 3), torch.float32), ((), torch.float64), ((4,), torch.float32)]
        tensors = [
            torch.full(shape, 2.0 * accelerator.process_index + number, dtype=dtype)
            for number, (shape, dtype) in enumerate(shapes)
        ]
        tensors[0] = tensors[0].T  # whatever its strides
        average_gradients_([], beside=tensors)
        return tensors

    for tensors in run_ranks(my_share):
        assert [tuple(tensor.shape) for tensor in tensors] == [(3, 2), (), (4,)]
        assert [tensor.unique().tolist() for tensor in tensors] == [[1.0], [2.0], [3.0]]


def test_one_process_keeps_its_gradients() -> None:
    parameter = nn.Parameter(torch.ones(2))
    parameter.sum().backward()
    average_gradients_([parameter])
    assert parameter.grad is not None
    assert parameter.grad.tolist() == [1.0, 1.0]


@pytest.mark.dist
def test_a_gathered_loss_has_the_value_and_gradient_of_one_process() -> None:
    inputs = torch.randn(2, 8, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))

    def my_share(accelerator: Accelerator) -> dict[str, Tensor]:
        first = 4 * accelerator.process_index
        encoder, images = encode(inputs[0, first : first + 4])
        texts = F.normalize(encoder(inputs[1, first : first + 4]), dim=-1)
        loss = contrast(gather_rows(images), gather_rows(texts), first, 4)
        loss.backward()
        return {"loss": loss.detach(), "grad": encoder.weight.grad}

    encoder, images = encode(inputs[0])
    loss = contrast(images, F.normalize(encoder(inputs[1]), dim=-1), 0, 8)
    loss.backward()
    result = run_ranks(my_share)
    for name, expected in (("loss", loss.detach()), ("grad", encoder.weight.grad)):
        averaged = (result[0][name] + result[1][name]) / 2  # as DDP does
        torch.testing.assert_close(averaged, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.dist
def test_rows_are_gathered_in_rank_order_whatever_their_shape_and_strides() -> None:
    def gather(accelerator: Accelerator) -> list[Tensor]:
        number = accelerator.process_index
        transposed = (torch.arange(6.0).view(3, 2) + 10 * number).T.requires_grad_()
        gathered = gather_rows(transposed)
        gathered.T.pow(2).sum().backward()  # the gradient comes back transposed, too
        return [gathered.detach(), transposed.grad, gather_rows(torch.full((1,), number))]

    own = [torch.arange(6.0).view(3, 2).T + 10 * number for number in (0, 1)]
    for number, (gathered, grad, numbers) in enumerate(run_ranks(gather)):
        assert torch.equal(gathered, torch.cat(own))
        assert torch.equal(grad, 2 * 2 * own[number])  # both ranks' losses hold the row
        assert numbers.tolist() == [0, 1]


SHARES = (slice(0, 3), slice(3, 8))  # the last batch of an epoch may be uneven
NORMS: dict[str, tuple[tuple[int, ...], torch.dtype, dict[str, Any]]] = {
    "vectors": ((8, 3), torch.float64, {}),
    "sequences": ((8, 3, 5), torch.float64, {}),
    "single precision": ((8, 3), torch.float32, {}),
    "no affine": ((8, 3), torch.float64, {"affine": False}),
    "cumulative": ((8, 3), torch.float64, {"momentum": None}),
    "no statistics": ((8, 3), torch.float64, {"track_running_stats": False}),
}


def build_norm(kind: type[nn.BatchNorm1d], dtype: torch.dtype, **options: Any) -> nn.BatchNorm1d:
    norm = kind(3, dtype=dtype, **options)
    if norm.affine:
        norm.weight.data.copy_(torch.tensor([0.5, 2.0, -1.0]))
    return norm


def run_norm(norm: nn.Module, batches: Tensor) -> dict[str, list[Tensor]]:
    """Return outputs and input gradients (by row), parameter gradients and buffers."""
    rows = []
    for batch in batches:  # more than one, as running statistics build up
        inputs = batch.clone().requires_grad_()
        out = norm(inputs)
        (out * out.detach().exp()).sum().backward()
        rows += [out.detach(), inputs.grad]
    parameter_grads = [parameter.grad for parameter in norm.parameters()]
    return {"rows": rows, "grads": parameter_grads, "buffers": list(norm.buffers())}


@pytest.mark.dist
@pytest.mark.parametrize(("shape", "dtype", "options"), NORMS.values(), ids=NORMS)
def test_batch_norm_on_two_ranks_is_that_of_torch_on_the_joint_batch(
    shape: tuple[int, ...], dtype: torch.dtype, options: dict[str, Any]
) -> None:
    batches = torch.randn(3, *shape, dtype=dtype, generator=torch.Generator().manual_seed(0)) * 3

    def my_share(accelerator: Accelerator) -> dict[str, list[Tensor]]:
        mine = batches[:, SHARES[accelerator.process_index]]
        return run_norm(build_norm(BatchNorm, dtype, **options), mine)

    expected = run_norm(build_norm(nn.BatchNorm1d, dtype, **options), batches)
    first, second = run_ranks(my_share)
    rows = list(map(torch.cat, zip(first["rows"], second["rows"], strict=True)))
    grads = list(map(torch.add, first["grads"], second["grads"]))
    torch.testing.assert_close(rows, expected["rows"])
    torch.testing.assert_close(grads, expected["grads"])
    torch.testing.assert_close(first["buffers"], expected["buffers"])
    torch.testing.assert_close(second["buffers"], expected["buffers"])


@pytest.mark.dist
def test_batch_norm_keeps_half_precision_and_computes_in_single() -> None:
    batch = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)).bfloat16() + 100

    def my_share(accelerator: Accelerator) -> tuple[Tensor, Tensor]:
        norm = BatchNorm(3, momentum=1.0)
        return norm(batch[SHARES[accelerator.process_index]]).detach(), norm.running_var

    outs, variances = zip(*run_ranks(my_share), strict=True)
    assert torch.cat(outs).dtype == torch.bfloat16
    torch.testing.assert_close(variances[0], batch.float().var(dim=0))


@pytest.mark.dist
def test_processes_see_each_other() -> None:
    def look(accelerator: Accelerator) -> tuple[int, int, int, int]:
        return accelerator.num_processes, world_size(), accelerator.process_index, rank()

    assert run_ranks(look) == [(2, 2, 0, 0), (2, 2, 1, 1)]


@pytest.mark.dist
def test_bad_input_that_the_main_process_meets_is_raised_on_every_rank() -> None:
    def meet(accelerator: Accelerator) -> str:
        def act() -> None:
            raise InputError(f"met by rank {accelerator.process_index}")

        on_main(accelerator, lambda: None)
        with pytest.raises(InputError) as caught:
            on_main(accelerator, act)
        return str(caught.value)

    assert run_ranks(meet) == ["met by rank 0"] * 2


@on_gpu
def test_a_group_of_one_process_on_a_gpu_normalises_as_torch(tmp_path: Path) -> None:
    """NCCL's calls run, whatever one process can say of them."""
    kind = "nccl" if DEVICE == "cuda" else "gloo"
    dist.init_process_group(kind, init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        batch = torch.randn(6, 3, device=DEVICE)
        mine, theirs = batch.clone().requires_grad_(), batch.clone().requires_grad_()
        out, *_ = distributed._SharedNorm.apply(mine, 1e-5)
        expected = nn.BatchNorm1d(3, affine=False, device=DEVICE)(theirs)
        torch.testing.assert_close(out, expected)
        out.pow(3).sum().backward()
        expected.pow(3).sum().backward()
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-3, atol=1e-4)
    finally:
        dist.destroy_process_group()


# Relaunching

WORKER = """
    import os, signal, time, typer
    from pathlib import Path
    from toolkit_common.cli.command import run_command
    from toolkit_common.config import Settings, option
    from toolkit_common.errors import InputError

    app = typer.Typer()

    class End(Settings):
        how: str = option("well", "How to end.")

    @run_command(app, End)
    def end(invocation):
        rank, how = os.environ["RANK"], invocation.settings.how
        if how == "bad-input":
            raise InputError("no file at data.csv")
        if how == "interrupted":
            raise KeyboardInterrupt
        if how == "killed" and rank == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "never":
            Path(f"pid-{rank}.tmp").write_text(str(os.getpid()))
            Path(f"pid-{rank}.tmp").rename(f"pid-{rank}")
            time.sleep(60)
        if how == "saved":
            from toolkit_common.training.interrupt import delayed_interrupt

            with delayed_interrupt() as interruption:
                Path(f"ready-{rank}").touch()
                while not interruption.requested:
                    time.sleep(0.02)
                time.sleep(0.3)
                Path(f"saved-{rank}").touch()
                raise KeyboardInterrupt
        return {"rank": rank, "of": os.environ["WORLD_SIZE"]}
"""


END = [sys.executable, "-m", "toolkit_common", "end", "--num-processes", "2", "--how"]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on PYTHONPATH with the command `toolkit end --how HOW`."""
    folder = write_plugin(tmp_path / "site", "end", WORKER)
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    return folder


@pytest.fixture
def own_signals() -> Iterator[None]:
    """Put the signal handlers back: torch's launcher leaves its own behind."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    handlers = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)


@pytest.mark.dist
@pytest.mark.parametrize(
    ("how", "code", "out", "err"),
    [
        ("well", 0, '{\n  "rank": "0",\n  "of": "2"\n}\n', ""),
        ("bad-input", 2, "", "error: no file at data.csv\n"),
    ],
    ids=["well", "bad-input"],
)
@pytest.mark.usefixtures("site")
def test_a_command_may_request_processes(how: str, code: int, out: str, err: str) -> None:
    done = subprocess.run([*END, how, "--json"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (code, out, err)


@pytest.mark.dist
@pytest.mark.slow
@pytest.mark.usefixtures("site")
def test_ctrl_c_gives_every_process_the_time_to_save(tmp_path: Path) -> None:
    with subprocess.Popen([*END, "saved"], stderr=subprocess.PIPE) as launcher:
        while len(list(tmp_path.glob("ready-*"))) < 2 and launcher.poll() is None:
            time.sleep(0.05)
        launcher.send_signal(signal.SIGINT)
        assert launcher.wait(60) == 130
        assert launcher.stderr is not None
        assert b"death signal" not in launcher.stderr.read()  # torch's words
    assert {path.name for path in tmp_path.glob("saved-*")} == {"saved-0", "saved-1"}


@pytest.mark.dist
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks the Linux kernel")
@pytest.mark.parametrize("launcher", ["ours", "torchrun"])
@pytest.mark.usefixtures("site")
def test_workers_end_when_their_launcher_is_killed(tmp_path: Path, launcher: str) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    command = {"ours": END, "torchrun": [*torchrun, "2", "-m", "toolkit_common", "end", "--how"]}
    with subprocess.Popen([*command[launcher], "never"], stderr=subprocess.PIPE) as started:
        while len(files := list(tmp_path.glob("pid-?"))) < 2 and started.poll() is None:
            time.sleep(0.05)
        started.kill()
    assert len(files) == 2
    assert wait_for_end(int(file.read_text()) for file in files)


@pytest.mark.dist
@pytest.mark.parametrize(
    ("how", "code"),
    [("well", 0), ("bad-input", 2), ("interrupted", 130), ("killed", 128 + signal.SIGKILL)],
)
@pytest.mark.usefixtures("site", "own_signals")
def test_relaunching_gives_the_exit_code_of_the_workers(how: str, code: int) -> None:
    assert relaunch(2, ["end", "--how", how]) == code
