"""Options of the `[webhook]` table: the address and the log-in."""

from __future__ import annotations

import base64
import urllib.parse
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from edgehar._version import __version__
from edgehar.credentials import Secret, read_secret, tls_context
from edgehar.errors import ConfigError
from edgehar.paths import InputFile, SecretFile

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from edgehar.templates import Template

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
    phases: Annotated[
        list[Literal["start", "update", "end", "uploaded"]],
        msgspec.Meta(description="Records of these phases only; all if empty.", examples=[["start", "uploaded"]]),
    ] = msgspec.field(default_factory=list)
    labels: Annotated[
        list[str], msgspec.Meta(description="Events with these labels only; all if empty.", examples=[["fight"]])
    ] = msgspec.field(default_factory=list)
    cameras: Annotated[
        list[str], msgspec.Meta(description="Events of these cameras only; all if empty.", examples=[["hall"]])
    ] = msgspec.field(default_factory=list)
    min_score: Annotated[float, msgspec.Meta(ge=0, le=1, description="Least peak score so far of an event.")] = 0.0
    body: Annotated[
        Annotated[str, msgspec.Meta(min_length=1)] | None,
        msgspec.Meta(
            description="Body of the request, with {label}, {camera}, {score}, {time}, {duration_s}, {clip}, "
            "{clip_url}, {id}, {model} and {phase} filled in; {{ and }} are braces. By default the event record.",
            examples=['{{"text": "{label} at {camera}, score {score}"}}'],
        ),
    ] = None
    content_type: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^[A-Za-z0-9.+-]+/[A-Za-z0-9.+-]+(; ?[a-z]+=[A-Za-z0-9._-]+)?$",
            description="Type of the body. In a JSON type, what is filled in is escaped as JSON.",
            extra={"words": "a media type such as application/json or text/plain"},
        ),
    ] = "application/json"
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
    """The receiver of events.

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
    headers = {"Content-Type": options.content_type, "User-Agent": f"edgehar/{__version__}"}
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


def read_body(options: WebhookOptions) -> Template | None:
    """Return the template of the body; None to post the record itself. ConfigError if it cannot be used."""
    from edgehar.templates import Template

    if options.body is None:
        if options.content_type != "application/json":
            raise ConfigError("webhook: content_type is set without body; the event record is application/json")
        return None
    is_json = options.content_type.partition(";")[0].endswith(("/json", "+json"))
    return (Template.of_json if is_json else Template)("webhook: body", options.body)


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
