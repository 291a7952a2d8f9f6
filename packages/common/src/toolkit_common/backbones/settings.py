"""The option of every command that reads a `--backbone`: more short names of encoders."""

from pathlib import Path
from typing import Any

from pydantic import field_validator

from toolkit_common.config import Settings, option


class EncoderSettings(Settings):
    """Settings in whose `backbone` a short name becomes the id that it stands for.

    So what a run records (config.yaml, results.json) is read without any file of names; the short
    name stays in the id, as its `name=`.
    """

    encoders: Path | None = option(
        None,
        "YAML file of encoders by short name, beside those built in and your own.",
        panel="Backbone",
        affects_result=False,
        exclude=True,  # of what is recorded: a way to write an id, and the id is recorded
    )

    @field_validator("encoders")
    @classmethod
    def _read(cls, value: Path | None) -> Path | None:
        if value is not None:
            # Here, as what is imported pulls in torch, which settings must not.
            from toolkit_common.backbones.named.resolve import known_aliases

            known_aliases(value)  # the whole of it is checked, whether a name of it is used or not
        return value

    @field_validator("backbone", check_fields=False)
    @classmethod
    def _resolve(cls, value: str | None, info: Any) -> str | None:
        if value is None:
            return None
        from toolkit_common.backbones.ids import parse_backbone_id
        from toolkit_common.backbones.named.alias import SOURCES
        from toolkit_common.backbones.named.resolve import resolve_alias

        text = resolve_alias(value, info.data.get("encoders"))
        # A run's folder may not be there yet: a study checks all commands before the first.
        if text.startswith(tuple(f"{source}:" for source in SOURCES)):
            parse_backbone_id(text)
        return text
