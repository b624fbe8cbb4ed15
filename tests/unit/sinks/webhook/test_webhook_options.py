"""Addresses, log-ins and files of a webhook that cannot be used."""

import pytest

from edgehar import ConfigError
from edgehar.credentials import Secret
from edgehar.sinks.webhook.options import WebhookOptions
from edgehar.sinks.webhook.sink import WebhookSink


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": None}, "the address must be http:// or https:// with a host"),
        ({"url": "s3cret"}, "the address must be"),
        ({"url": "ftp://s3cret"}, "the address must be"),
        ({"url": "http://:80/s3cret"}, "the address must be"),
        ({"url": "http://host:s3cret"}, "the address must be"),
        ({"url": "http://host:0/s3cret"}, "the address must be"),
        ({"url": "http://user:s3/cret@host/"}, "the address must be"),
        ({"url": "http://user:12/s3cret@host/"}, "the address must be"),
        ({"url": "http://host/#s3cret"}, "the address must be"),
        ({"url": "http://u:s3cret@host/", "token": "s3cret"}, "the log-in is set twice"),
        ({"url": "http://host/", "token": "s3cret\r\nX: y"}, "the token contains characters that are not"),
        ({"url": "http://host/", "ca_file": "/dev/null"}, "ca_file is for TLS"),
        ({"url": "https://host/", "ca_file": "/nowhere"}, "ca_file /nowhere: does not exist or cannot be read"),
        ({"url": "https://host/", "token_file": "/nowhere"}, "token_file /nowhere: cannot be read: No such file"),
        ({"url": "https://host/", "token_file": "/dev/null"}, "the first line is empty; write the token there"),
    ],
)
def test_options_that_cannot_be_used(options, message):
    secret = {name: Secret(value) for name, value in options.items() if name in ("url", "token") and value}
    with pytest.raises(ConfigError, match=message) as caught:
        WebhookSink(WebhookOptions(**{**options, **secret}))
    assert "s3" not in str(caught.value)
