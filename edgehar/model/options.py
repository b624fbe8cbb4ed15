"""Settings of `[models]`."""

from __future__ import annotations

from typing import Annotated

import msgspec

from edgehar.paths import InputFile, OutputPath


class ModelsOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which bundles may run, and whether a running program takes over new ones."""

    swap: Annotated[
        bool,
        msgspec.Meta(description="Take over the models that `edgehar models swap` puts forward, without a restart."),
    ] = False
    directory: Annotated[
        OutputPath | None,
        msgspec.Meta(
            description="Folder of taken over models; by default the folder `models` beside the queues of `[spool]`.",
            examples=["/var/lib/edgehar/models"],
        ),
    ] = None
    rollback_alarms_per_hour: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            le=3600,
            description="Return to the model before if a new one starts more events of a camera in an hour; 0: never.",
        ),
    ] = 10.0
    require_signed: Annotated[
        bool,
        msgspec.Meta(description="Refuse bundles that no trusted key has signed; those of this package always run."),
    ] = False
    trusted_keys: Annotated[
        InputFile | None,
        msgspec.Meta(
            description="Keys to trust, as `edgehar trust` writes them; by default ~/.config/edgehar/trusted_keys.",
            examples=["/etc/edgehar/trusted_keys"],
        ),
    ] = None
