"""Settings of uploads and notifications."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edgehar.credentials import Secret, without_credentials


class UploadOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A server that gets a copy of each recording."""

    url: Annotated[
        Secret | None,
        Meta(
            description="Where recordings go: s3://bucket/prefix, https://host/folder (WebDAV or plain PUT) or "
            "sftp://user@host/folder (/~/folder below the home). Without it they stay here.",
            examples=["https://host.example/edgehar/"],
        ),
    ] = None
    user: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(description="User, or access key of S3.", examples=["edgehar"]),
    ] = None
    password: Annotated[Secret | None, Meta(description="Password, or secret key of S3.", examples=["secret"])] = None
    password_file: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(description="A file whose first line is the password.", examples=["/etc/edgehar/upload-password"]),
    ] = None
    ca_file: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(
            description="The authorities to trust for https://, as PEM; without it those of the system.",
            examples=["/etc/edgehar/ca.pem"],
        ),
    ] = None
    key_file: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(description="Private SSH key for sftp://.", examples=["/etc/edgehar/id_ed25519"]),
    ] = None
    known_hosts_file: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(
            description="Keys of SSH servers to trust, as ssh-keyscan prints them; needed for sftp://.",
            examples=["/etc/edgehar/known_hosts"],
        ),
    ] = None
    endpoint: Annotated[
        Annotated[str, Meta(pattern="^https?://")] | None,
        Meta(
            description="Address of an S3 server other than Amazon's.",
            examples=["https://s3.example:9000"],
            extra={"words": "an http:// or https:// address"},
        ),
    ] = None
    s3_region: Annotated[str, Meta(min_length=1, description="Region of the S3 bucket.")] = "us-east-1"
    delete_after: Annotated[bool, Meta(description="Remove a recording here once the server has it, verified.")] = False
    verify: Annotated[
        bool, Meta(description="Read each file back and compare its hash; otherwise only the answer counts.")
    ] = True
    max_kb_s: Annotated[
        float, Meta(ge=0, le=1e7, description="Upload at most this many kB (10^3 bytes) a second; 0: no limit.")
    ] = 0.0
    timeout_s: Annotated[float, Meta(ge=0.1, le=600, description="How long the server may be silent, in seconds.")] = (
        30.0
    )
    first_delay_s: Annotated[float, Meta(ge=0.01, le=3600, description="Longest wait before the first try again.")] = (
        2.0
    )
    max_delay_s: Annotated[
        float,
        Meta(
            ge=0.01, le=86_400, description="Longest wait before any try; waits double from first_delay_s up to here."
        ),
    ] = 300.0

    def __repr__(self) -> str:
        """Return the options without credentials."""
        return f"UploadOptions(url={self.where!r}, ...)"

    @property
    def where(self) -> str:
        """The address without credentials."""
        return without_credentials("" if self.url is None else self.url.reveal())


class NotifyOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Messages to people when an action is seen, through Apprise."""

    urls: Annotated[
        list[Secret],
        Meta(
            description="Apprise addresses, for example of Telegram, ntfy, Signal, e-mail or Matrix; see "
            "https://github.com/caronc/apprise/wiki. Without one no message is sent.",
            examples=[["ntfys://ntfy.example/hall"]],
        ),
    ] = msgspec.field(default_factory=list)
    urls_file: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(description="A file with one Apprise address a line.", examples=["/etc/edgehar/notify-urls"]),
    ] = None
    when: Annotated[
        Literal["start", "end", "uploaded"],
        Meta(
            description="Send at the start of an event, at its end, when the peak is known, or when a server has its "
            "clip, with the address in {clip_url}."
        ),
    ] = "start"
    labels: Annotated[
        list[str], Meta(description="Events with these labels only; all if empty.", examples=[["fight"]])
    ] = msgspec.field(default_factory=list)
    cameras: Annotated[
        list[str], Meta(description="Events of these cameras only; all if empty.", examples=[["hall"]])
    ] = msgspec.field(default_factory=list)
    min_score: Annotated[float, Meta(ge=0, le=1, description="Least peak score of an event.")] = 0.0
    title: Annotated[
        str,
        Meta(
            min_length=1,
            description="Title, with {label}, {camera}, {score}, {time}, {duration_s}, {clip}, {clip_url}, {id}, "
            "{model} and {phase} filled in.",
        ),
    ] = "{label} at {camera}"
    body: Annotated[str, Meta(min_length=1, description="Text, filled in like the title.")] = "Score {score} at {time}."
    picture: Annotated[
        bool,
        Meta(description="Attach a picture, as `pictures` allows; never with `record.seal_to`."),
    ] = True
    quiet_hours: Annotated[
        list[str],
        Meta(
            description="Local times without messages, for example 22:00-06:00 or sat,sun; a digest follows.",
            examples=[["22:00-06:00"]],
        ),
    ] = msgspec.field(default_factory=list)
    max_per_hour: Annotated[
        int, Meta(ge=1, le=1000, description="Messages in any hour, at most; a digest tells of the other events.")
    ] = 12
    give_up_s: Annotated[float, Meta(ge=1, le=86_400, description="Try a message again for this long, in seconds.")] = (
        1800.0
    )

    def __repr__(self) -> str:
        """Return the options without the addresses, which hold credentials."""
        return f"NotifyOptions({len(self.urls)} addresses, ...)"
