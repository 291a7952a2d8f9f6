"""On what machine: the options that every command which computes shares."""

from typing import Literal

from toolkit_common.config import Settings, option

MACHINE = "Machine"


class MachineSettings(Settings):
    """Device, arithmetic and decoding processes."""

    device: Literal["auto", "cpu", "cuda"] = option(
        "auto", "CUDA where there is one.", panel=MACHINE
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = option(
        "auto", "bf16 on CUDA, fp32 on CPU.", panel=MACHINE
    )
    num_workers: int | None = option(
        None,
        "Processes that decode images; 0 beside a CPU encoder, else up to 16.",
        panel=MACHINE,
        ge=0,
        affects_result=False,
    )


class CheckpointSettings(Settings):
    """What is left of the states that a run saves on its way."""

    keep_checkpoints: bool = option(
        False,
        "Keep the states that a run saves on its way after it is done; only one that was "
        "stopped needs them.",
        panel=MACHINE,
        affects_result=False,
    )
