"""Options of the `[webhook]` table: the address and the log-in."""

from __future__ import annotations

import base64
import urllib.parse
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import msgspec

from edgehar._version import __version__
from edgehar.credentials import Secret, read_secret, tls_context
from edgehar.errors import ConfigError
from edgehar.paths import InputFile, SecretFile

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

_EXAMPLE = "https://user:password@host/path"


class WebhookOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[webhook]` table of the configuration."""

    url: Annotated[
        Secret | None,
        msgspec.Meta(
            description="Where events are posted, http:// or https://. No events are posted without it.",
            examples=["https://host.example/hook"],
        ),
    ] = None
    token: Annotated[
        Secret | None,
        msgspec.Meta(description="Sent with every event as Authorization: Bearer.", examples=["secret"]),
    ] = None
    token_file: Annotated[
        SecretFile | None,
        msgspec.Meta(description="File whose first line is the token.", examples=["/etc/edgehar/webhook-token"]),
    ] = None
    ca_file: Annotated[
        InputFile | None,
        msgspec.Meta(
            description="Authorities to trust, as PEM. By default those of the system.",
            examples=["/etc/edgehar/ca.pem"],
        ),
    ] = None
    timeout_s: Annotated[
        float,
        msgspec.Meta(ge=0.1, le=600, description="Deadline of a request, from connecting to the end of its answer."),
    ] = 10.0
    first_delay_s: Annotated[
        float,
        msgspec.Meta(
            ge=0.01,
            le=3600,
            description="Upper bound of the first delay before a retry; it doubles.",
        ),
    ] = 1.0
    max_delay_s: Annotated[
        float,
        msgspec.Meta(ge=0.01, le=3600, description="Upper bound of every delay before a retry."),
    ] = 60.0


@dataclass(frozen=True)
class Receiver:
    """Where events are posted.

    Attributes:
        host: name or address.
        port: TCP port.
        target: path and query.
        headers: headers of every request. They may contain credentials.
        context: TLS context; None for http.
    """

    host: str
    port: int
    target: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    context: ssl.SSLContext | None = field(repr=False)

    @property
    def where(self) -> str:
        """Return the address without the path, because the path of a webhook is often a secret."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'http' if self.context is None else 'https'}://{host}:{self.port}"


def read_receiver(options: WebhookOptions) -> Receiver:
    """Read address and log-in from the options, and check the TLS files.

    Raises:
        ConfigError: an option is not valid. The message repeats neither URL nor token.
    """
    parts, host, port = _split("" if options.url is None else options.url.reveal())
    headers = {"Content-Type": "application/json", "User-Agent": f"edgehar/{__version__}"}
    if (authorization := _authorization(parts, options)) is not None:
        headers["Authorization"] = authorization
    target = urllib.parse.quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    if parts.query:
        target += "?" + urllib.parse.quote(parts.query, safe="/%:@!$&'()*+,;=~?[]")
    if parts.scheme == "http":
        if options.ca_file is not None:
            raise ConfigError("webhook: ca_file is for TLS; start the address with https://")
        return Receiver(host, port or 80, target, headers, None)
    return Receiver(host, port or 443, target, headers, tls_context("webhook", ca_file=options.ca_file))


def _split(url: str) -> tuple[urllib.parse.SplitResult, str, int | None]:
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")
    except ValueError:
        parts, host, port = urllib.parse.urlsplit(""), "", None
    # An unencoded "/", "?" or "#" in a password ends the host too early, and leaves an "@" in the path.
    if parts.scheme not in ("http", "https") or not host or port == 0 or parts.fragment or "@" in parts.path:
        raise ConfigError(
            f"webhook: the address must be http:// or https:// with a host; write {_EXAMPLE}, special characters "
            "percent-encoded (# as %23, / as %2F, ? as %3F, @ as %40)"
        )
    return parts, host, port


def _authorization(parts: urllib.parse.SplitResult, options: WebhookOptions) -> str | None:
    given = []
    if parts.username or parts.password:
        pair = f"{urllib.parse.unquote(parts.username or '')}:{urllib.parse.unquote(parts.password or '')}"
        given.append(f"Basic {base64.b64encode(pair.encode()).decode()}")
    if options.token:
        given.append(f"Bearer {options.token.reveal()}")
    if options.token_file is not None:
        given.append(f"Bearer {read_secret('webhook', 'token_file', options.token_file)}")
    if len(given) > 1:
        raise ConfigError("webhook: the log-in is set twice, in the address, as token or as token_file; keep one")
    if given and not (given[0].isascii() and given[0].isprintable()):
        raise ConfigError("webhook: the token contains characters that are not printable ASCII")
    return given[0] if given else None
