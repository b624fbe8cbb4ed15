"""Passwords of the pages: hashed with argon2, and guesses slowed down."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from edgehar.credentials import read_secret
from edgehar.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    import argon2

    from edgehar.web.options import WebOptions

# OWASP's parameters of argon2id with the least memory, 19 MiB, because a Pi Zero has 512 MB.
_TIME_COST, _MEMORY_KIB = 2, 19_456
LONGEST_PASSWORD = 1024
# Wrong passwords that an address may try before it must wait, and its longest wait in seconds.
FREE_TRIES, LONGEST_WAIT_S = 5, 300.0
_MOST_ADDRESSES = 10_000


def hash_password(password: str) -> str:
    """Return the argon2id hash of a password, with its parameters and salt.

    Raises:
        ConfigError: argon2-cffi is not installed, or the password is empty or longer than 1,024 characters.
    """
    if not 0 < len(password) <= LONGEST_PASSWORD:
        raise ConfigError(f"the password has {len(password)} characters; choose one of 1 to {LONGEST_PASSWORD}")
    return str(_hasher().hash(password))


class Password:
    """The password that visitors must know."""

    def __init__(self, digest: str) -> None:
        """Take its hash.

        Raises:
            ConfigError: argon2-cffi is not installed, or this is not a hash.
        """
        import argon2

        self._hasher, self._digest = _hasher(), digest
        try:
            argon2.extract_parameters(digest)
        except argon2.exceptions.InvalidHashError:
            raise ConfigError(
                "web: the password hash is not one of argon2; make one with edgehar web password"
            ) from None

    @classmethod
    def of(cls, options: WebOptions) -> Password | None:
        """Return the password of the settings; None if there is none. Raises ConfigError if it cannot be read."""
        if options.password_file is not None:
            return cls(read_secret("web", "password_file", options.password_file))
        return None if options.password_hash is None else cls(options.password_hash.reveal())

    def matches(self, text: str) -> bool:
        """Return whether this is the password. Takes tens of milliseconds, and 19 MiB for that time."""
        import argon2

        if len(text) > LONGEST_PASSWORD:
            return False
        try:
            return bool(self._hasher.verify(self._digest, text))
        except argon2.exceptions.VerificationError:
            return False


def _hasher() -> argon2.PasswordHasher:
    try:
        import argon2
    except ImportError:
        raise ConfigError("a password for the pages needs argon2-cffi; run: pip install 'edgehar[web]'") from None
    return argon2.PasswordHasher(time_cost=_TIME_COST, memory_cost=_MEMORY_KIB, parallelism=1)


class Throttle:
    """Waiting times after wrong passwords, for each address: they double from the sixth, up to five minutes."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start with no address; `clock` gives monotonic seconds."""
        self._clock = clock
        # Wrong passwords in a row, and when the next may be tried.
        self._wrong: dict[str, tuple[int, float]] = {}

    def wait_s(self, address: str) -> float:
        """Return the seconds until this address may try a password; 0 if it may now."""
        _, until_s = self._wrong.get(_network(address), (0, 0.0))
        return max(0.0, until_s - self._clock())

    def wrong(self, address: str) -> None:
        """Count a wrong password."""
        network = _network(address)
        count = self._wrong.pop(network, (0, 0.0))[0] + 1
        wait_s = 0.0 if count < FREE_TRIES else min(2.0 ** min(count - FREE_TRIES, 30), LONGEST_WAIT_S)
        self._wrong[network] = count, self._clock() + wait_s
        while len(self._wrong) > _MOST_ADDRESSES:
            del self._wrong[next(iter(self._wrong))]

    def right(self, address: str) -> None:
        """Forget the wrong passwords of an address."""
        self._wrong.pop(_network(address), None)


def _network(address: str) -> str:
    """Return the address, or the network of an IPv6 address, because a home has 2^64 of them."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    # A socket for both families gives an IPv4 address within an IPv6 one.
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return str(ip) if ip.version == 4 else str(ipaddress.ip_network((ip, 64), strict=False))
