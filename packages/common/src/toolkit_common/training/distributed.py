"""One process to many nodes: accelerate underneath, and the three things it does not give.

Those are: a gather that carries gradients (contrastive losses), batch normalisation over all
ranks that also runs on CPUs, and re-running this command under torch's launcher.
"""

import logging
import os
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from typing_extensions import override

from toolkit_common.errors import InputError
from toolkit_common.launched import EXIT_INTERRUPTED, LAUNCHER, in_worker

BUCKET_BYTES = 1 << 28
PRECISIONS = {"auto": None, "fp32": "no", "bf16": "bf16", "fp16": "fp16"}


def build_accelerator(*, device: str = "auto", precision: str = "auto") -> Accelerator:
    """Return the accelerator for this process, with as many processes as were launched.

    Args:
        device: `auto` (CUDA where there is one), `cpu` or `cuda`.
        precision: `auto` (bf16 on CUDA, fp32 on CPU), `fp32`, `bf16` or `fp16`.

    Raises:
        InputError: If CUDA is requested and there is none, or fp16 on a CPU.
    """
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise InputError("--device cuda was requested and torch sees no CUDA device: use cpu")
    on_cpu = device == "cpu" or not has_cuda
    mixed = PRECISIONS[precision] or ("no" if on_cpu else "bf16")
    if on_cpu and mixed == "fp16":
        raise InputError("precision fp16 needs CUDA: use fp32 or bf16 on a CPU")
    # A plain Accelerator() sees one process under torchrun on a CPU-only machine.
    accelerator = Accelerator(cpu=on_cpu, mixed_precision=mixed)
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    # Else each process would train alone, and write the same folder.
    assert accelerator.num_processes == launched, (accelerator.num_processes, launched)
    return accelerator


@contextmanager
def own_accelerator(*, device: str = "auto", precision: str = "auto") -> Iterator[Accelerator]:
    """Yield an accelerator for one call from Python, and leave accelerate as it was.

    accelerate holds one device and precision for the whole process: that of a call before, or of
    the caller's own training. Launched processes stay one group. Arguments as `build_accelerator`.

    Raises:
        InputError: As `build_accelerator` does.
    """
    kinds: tuple[Any, ...] = () if in_worker() else (AcceleratorState, GradientState, PartialState)
    before = [dict(kind._shared_state) for kind in kinds]
    for kind in kinds:
        kind._shared_state.clear()
    try:
        yield build_accelerator(device=device, precision=precision)
    finally:
        for kind, state in zip(kinds, before, strict=True):
            kind._shared_state.clear()
            kind._shared_state.update(state)


def on_main(accelerator: Accelerator, act: Callable[[], None]) -> None:
    """Let the main process act while the others wait; bad input that it meets stops them all.

    Raises:
        InputError: On every rank, if `act` raised it.
    """
    problem: str | None = None
    if accelerator.is_main_process:
        try:
            act()
        except InputError as error:
            problem = str(error)
    # Sent when all went well too: the others wait for it.
    shared: list[str | None] = broadcast_object_list([problem])
    if shared[0] is not None:
        raise InputError(shared[0])


def world_size() -> int:
    """Return the number of processes that compute together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process, 0 for the main one."""
    return dist.get_rank() if world_size() > 1 else 0


class _GatherRows(torch.autograd.Function):
    """All ranks' rows, in rank order; the backward sums what every rank sent back for our rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        gathered = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(gathered, rows.contiguous())  # collectives take no strided tensors
        ctx.num_rows = rows.shape[0]
        return torch.cat(gathered)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        # A copy, reduced in place: what autograd hands over may be an expanded view, and others
        # read it.
        total = grads[0].clone(memory_format=torch.contiguous_format)
        # Every rank's loss reads our rows: their true gradient is the sum of what all send back.
        dist.all_reduce(total)
        first = dist.get_rank() * ctx.num_rows
        return total[first : first + ctx.num_rows]


def gather_rows(rows: Tensor) -> Tensor:
    """Concatenate the rows of all ranks, differentiably; every rank must bring equally many.

    With each rank's loss the mean over its own rows and gradients averaged over ranks, the
    gradient equals that of one process (tested; docs/traps.md 2, 3).

    Shape:
        rows `(m, ...)` -> `(ranks * m, ...)`, rank r's rows from `r * m`.
    """
    return _apply(_GatherRows, rows) if world_size() > 1 else rows


def average_gradients_(
    parameters: Iterable[nn.Parameter], *, beside: Sequence[Tensor] = ()
) -> None:
    """Average gradients over ranks, for losses whose backward takes more than one pass.

    (`DistributedDataParallel` does so during its one backward.) Every rank must have gradients for
    the same parameters.

    Args:
        parameters: Whose gradients.
        beside: Other tensors to average with them, in place: a step then sends once.
    """
    if world_size() == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    for bucket in _buckets([*gradients, *beside]):
        # One collective for many tensors: each costs its latency, whatever its size.
        flat = torch.cat([tensor.flatten() for tensor in bucket])
        dist.all_reduce(flat)
        flat /= world_size()
        parts = flat.split([tensor.numel() for tensor in bucket])
        shaped = [part.view(tensor.shape) for part, tensor in zip(parts, bucket, strict=True)]
        torch._foreach_copy_(bucket, shaped)


def _buckets(tensors: Iterable[Tensor]) -> list[list[Tensor]]:
    """Return tensors by dtype, in lists of at most BUCKET_BYTES: what is sent is a copy of them."""
    buckets: dict[tuple[torch.dtype, int], list[Tensor]] = {}
    sizes: dict[torch.dtype, int] = {}
    for tensor in tensors:
        before = sizes.get(tensor.dtype, 0)
        buckets.setdefault((tensor.dtype, before // BUCKET_BYTES), []).append(tensor)
        sizes[tensor.dtype] = before + tensor.numel() * tensor.element_size()
    return [*buckets.values()]


def broadcast_(module: nn.Module) -> None:
    """Give every rank's module the parameters and buffers of the main one's."""
    if world_size() == 1:
        return
    for value in module.state_dict().values():  # shared with the module, without gradients
        dist.broadcast(value, 0)


class _SumOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        del ctx
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        del ctx
        # Every rank's loss reads the total, so that ours gets the gradients of all.
        total = grads[0].clone()
        dist.all_reduce(total)
        return total


def sum_over_ranks(value: Tensor) -> Tensor:
    """Return the sum of all ranks' values, differentiably."""
    return _apply(_SumOverRanks, value) if world_size() > 1 else value


def _apply(function: type[torch.autograd.Function], value: Tensor) -> Tensor:
    result: Tensor = function.apply(value)
    return result


class _SharedNorm(torch.autograd.Function):
    """Normalises by the statistics of all ranks' rows: one collective each way."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return normalised values, and mean, biased variance and count of all ranks' rows."""
        ctx.dims = [dim for dim in range(values.ndim) if dim != 1]
        ctx.shape = [1, -1] + [1] * (values.ndim - 2)
        count = values.numel() // values.shape[1]  # a last batch may be dealt out unevenly
        own = values.sum(ctx.dims) / max(1, count)
        # Of what is centred: E[x^2] - E[x]^2 cancels in fp32.
        spread = (values - own.view(ctx.shape)).square().sum(ctx.dims)
        sent = torch.cat([own.new_full((1,), count), own, spread])
        gathered = [torch.empty_like(sent) for _ in range(dist.get_world_size())]
        dist.all_gather(gathered, sent)
        counts, means, spreads = torch.stack(gathered).split([1, len(own), len(own)], dim=1)
        total = counts.sum()
        # Parts with means of their own, joined (Chan et al. 1979).
        mean = (counts * means).sum(0) / total
        variance = (spreads + counts * (means - mean).square()).sum(0) / total
        rstd = torch.rsqrt(variance + eps).view(ctx.shape)
        out = (values - mean.view(ctx.shape)) * rstd
        ctx.save_for_backward(out, rstd, total)
        ctx.mark_non_differentiable(mean, variance, total)
        return out, mean, variance, total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor, None]:
        out, rstd, total = ctx.saved_tensors
        # Every rank's loss reads our rows, by way of the statistics.
        sums = torch.cat([grad.sum(ctx.dims), (grad * out).sum(ctx.dims)])
        dist.all_reduce(sums)
        mean, along = (part.view(ctx.shape) for part in (sums / total).chunk(2))
        return rstd * (grad - mean - out * along), None


class BatchNorm(nn.BatchNorm1d):
    """`nn.BatchNorm1d` whose training statistics run over the batches of all ranks, on any device.

    `nn.SyncBatchNorm` refuses CPUs. In one process this is `nn.BatchNorm1d` to the bit.

    Shape:
        `(b, c)` or `(b, c, n)` -> the same; statistics per channel c.
    """

    @override
    def forward(self, input: Tensor) -> Tensor:
        # To the bit what torch gives, wherever there is nobody to share with.
        if not self.training or world_size() == 1:
            return super().forward(input)
        values = input.to(torch.promote_types(input.dtype, torch.float32))
        out, mean, variance, count = _SharedNorm.apply(values, self.eps)  # type: ignore[no-untyped-call]
        # The running variance is the unbiased one, the batch's own is not: as torch has it.
        self._update_running_(mean, variance * count / (count - 1))
        if self.weight is not None:
            shape = [1, -1] + [1] * (input.ndim - 2)
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(input.dtype)

    def _update_running_(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1.0 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


def relaunch(num_processes: int, argv: Sequence[str]) -> int:
    """Run `toolkit ARGV` in `num_processes` processes under torch's launcher.

    Returns:
        The exit code of the first worker that failed (a plain torchrun would turn it into 1), or 0.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in [*logging.root.manager.loggerDict]:  # each has a level of its own
        if name.startswith("torch.distributed.elastic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as torchrun: threads of several processes fight
    os.environ[LAUNCHER] = str(os.getpid())  # for the workers
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=num_processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",  # any free port: two runs on one machine never meet
        max_restarts=0,  # the user resumes, knowing why it failed
    )
    try:
        elastic_launch(config, sys.executable)("-m", "toolkit_common", *argv)
    except ChildFailedError as error:
        # The first to fail: the launcher ended the others because of it.
        first = min(error.failures.values(), key=lambda failure: failure.timestamp)
        # Killed by a signal: as shells count it.
        return first.exitcode if first.exitcode > 0 else 128 - first.exitcode
    except (SignalException, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    finally:
        # The variable is for children of this call; a test or notebook goes on in this process.
        del os.environ[LAUNCHER]
    return 0
