"""What travels to the device and from it while it goes on computing.

`float(tensor)` waits until the device has done all that was asked of it, and then the device waits
for the next kernel. What is sent along and read a step later costs neither of them anything.
"""

import torch
from torch import Tensor

from toolkit_common.training.interrupt import Interruption


def send(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Return a tensor on a device, which need not have arrived yet."""
    target = torch.device(device)
    if target.type != "cuda":  # a copy to the CPU that does not wait may be read too early
        return tensor.to(target)
    # From memory that is not pinned the driver may wait, for all that was asked of the device.
    source = tensor.pin_memory() if tensor.device.type == "cpu" else tensor
    return source.to(target, non_blocking=True)


class Late:
    """Hands over the numbers of a step when those of the next are on their way."""

    def __init__(self) -> None:
        self._sent: OnItsWay | None = None

    def swap(self, numbers: Tensor) -> list[float] | None:
        """Send numbers `(n,)` of this step and return those sent before, None at first."""
        # In this order: the device has work while the numbers before are waited for.
        before, self._sent = self._sent, OnItsWay(numbers)
        return None if before is None else before.read().tolist()

    def read(self) -> list[float] | None:
        """Return the numbers that were sent last, now, and once; None without any."""
        before, self._sent = self._sent, None
        return None if before is None else before.read().tolist()


class OnItsWay:
    """A tensor that is copied to the host while the device computes on."""

    def __init__(self, tensor: Tensor) -> None:
        self._host, self._arrival = tensor.detach(), None
        if tensor.device.type == "cuda":
            self._host = torch.empty_like(self._host, device="cpu", pin_memory=True)
            self._host.copy_(tensor.detach(), non_blocking=True)
            self._arrival = torch.cuda.Event()
            # On the stream of the copy, which is that of the tensor's device: another one's has no
            # part in it (`ProbeClassifier(device="cuda:1")`), and the numbers were read too early.
            self._arrival.record(torch.cuda.current_stream(tensor.device))

    def read(self) -> Tensor:
        """Return it on the CPU, as soon as it has arrived."""
        if self._arrival is not None:
            self._arrival.synchronize()  # of what was asked before it, not of all since
        return self._host


class Agreement:
    """Whether any process was interrupted: all of them learn of it after the same step.

    A process alone knows at once. Several vote: a vote travels with what a step averages over them
    anyway, and is read a step later.

    Args:
        interruption: What this process knows.
        num_processes: Which have to agree.
    """

    def __init__(self, interruption: Interruption, num_processes: int) -> None:
        self._interruption = interruption
        self._is_alone = num_processes == 1
        self._reached = False
        self._votes = Late()

    @property
    def reached(self) -> bool:
        """Whether to stop after this step."""
        return self._interruption.requested if self._is_alone else self._reached

    def vote(self, device: torch.device | str) -> Tensor:
        """Return this process's vote, to be averaged over all."""
        # Filled where it is: `torch.tensor` would copy, and wait.
        return torch.full((1,), float(self._interruption.requested), device=device)

    def count_(self, votes: Tensor) -> None:
        """Take the average of all votes of a step."""
        if not self._is_alone:
            (before,) = self._votes.swap(votes) or (0.0,)
            self._reached = self._reached or before > 0
