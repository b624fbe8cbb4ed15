"""The other end of sd_notify: a datagram socket of our own."""

import socket
import time


class ServiceManager:
    """Hears what a service says, at a path or, when the address begins with @, an abstract address."""

    def __init__(self, address):
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"\0{address[1:]}" if address[0] == "@" else address)
        self.socket.settimeout(0.05)

    def heard(self):
        """Every message since the last call."""
        messages = []
        try:
            while True:
                messages.append(self.socket.recv(4096).decode())
        except TimeoutError:
            return messages

    def wait_for(self, beginning, timeout_s=120):
        """All messages up to the first that begins so."""
        deadline_s, messages = time.monotonic() + timeout_s, []
        while not messages or not messages[-1].startswith(beginning):
            assert time.monotonic() < deadline_s, messages
            try:
                messages.append(self.socket.recv(4096).decode())
            except TimeoutError:
                continue
        return messages

    def close(self):
        self.socket.close()
