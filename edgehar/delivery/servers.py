"""The kinds of servers that recordings are uploaded to."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgehar.delivery.options import UploadOptions
    from edgehar.delivery.target import Address, Target


def open_target(address: Address, options: UploadOptions) -> Target:
    """Return the connection to a server; it connects with the first file.

    Raises:
        ConfigError: a file of the settings or a library is missing.
    """
    if address.kind == "http":
        from edgehar.delivery.http import HttpTarget

        return HttpTarget(address, options)
    if address.kind == "s3":
        from edgehar.delivery.s3 import S3Target

        return S3Target(address, options)
    from edgehar.delivery.sftp import SftpTarget

    return SftpTarget(address, options)
