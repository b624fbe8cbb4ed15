"""Real servers that recordings are uploaded to: rclone's WebDAV, OpenSSH's SFTP, s3rver, and one that lies."""

import contextlib
import functools
import http.server
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

S3_USER = S3_PASSWORD = "S3RVER"
BUCKET = "clips"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class Server:
    """A server process that can be killed, frozen and started again on the same port and folder."""

    def __init__(self, command, port, log):
        self._command, self.port, self._log = command, port, log
        self._process = None

    def start(self):
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline_s = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                assert self._process.poll() is None, self._log.read_text()
                assert time.monotonic() < deadline_s, "the server does not listen"
                time.sleep(0.05)

    def freeze(self):
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self._process.send_signal(signal.SIGCONT)

    def stop(self):
        if self._process is not None:
            # sshd has a process for each connection, which would outlive it.
            for child in _below(self._process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            self._process.kill()
            self._process.wait()
            self._process = None


def _below(number):
    """The processes that a process has started, and that those have."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(number)], capture_output=True, text=True, check=False)
    children = [int(child) for child in found.stdout.split()]
    return [*children, *(grandchild for child in children for grandchild in _below(child))]


def webdav(folder, served):
    """rclone's WebDAV server, or None where rclone is missing."""
    if shutil.which("rclone") is None:
        return None
    port = free_port()
    served.mkdir(exist_ok=True)
    command = ["rclone", "serve", "webdav", str(served), "--addr", f"127.0.0.1:{port}", "--user", "edge", "--pass",
               "s3cret@/", "--config", str(folder / "rclone.conf"), "--cache-dir", str(folder / "cache")]  # fmt: skip
    return Server(command, port, folder / "rclone.log")


@functools.cache
def _s3rver():
    found = shutil.which("s3rver")
    own = Path("~/.local/share/edgehar-tests/node_modules/.bin/s3rver").expanduser()
    return found or (str(own) if own.exists() else None)


def s3(folder, served):
    """An S3 server with one bucket, or None where s3rver is missing."""
    if _s3rver() is None:
        return None
    port = free_port()
    served.mkdir(exist_ok=True)
    command = [_s3rver(), "-d", str(served), "-a", "127.0.0.1", "-p", str(port), "--configure-bucket", BUCKET]
    return Server(command, port, folder / "s3.log")


def sftp(folder):
    """OpenSSH's server with a host key and a user key, or None where it is missing; keys are in `folder`."""
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/bin")
    if sshd is None or os.geteuid() != 0:
        return None
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    port = free_port()
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    (folder / "authorized").chmod(0o600)
    key = " ".join((folder / "host.pub").read_text().split()[:2])
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {key}\n")
    Path("/run/sshd").mkdir(exist_ok=True)
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder / 'host'}\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {folder / 'authorized'}\nStrictModes no\nPermitRootLogin yes\n"
        "PasswordAuthentication no\nSubsystem sftp internal-sftp\n"
    )
    server = Server([sshd, "-D", "-e", "-f", str(folder / "sshd_config")], port, folder / "sshd.log")
    server.user = pwd.getpwuid(os.geteuid()).pw_name
    return server


class _Liar(http.server.BaseHTTPRequestHandler):
    """Says that it took a file, and gives back what its server's `behavior` makes of it."""

    def do_PUT(self):
        length = int(self.headers.get("Content-Length", 0))
        body = self._slowly(length) if length else self._chunked()
        behavior = self.server.behavior
        self.server.asked.append((self.path, dict(self.headers)))
        if isinstance(behavior, str) and behavior.startswith("http://"):
            self.send_response(307)
            self.send_header("Location", behavior + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        status = behavior if isinstance(behavior, int) else 201
        self.server.files[self.path] = body if behavior != "lose" else body[: len(body) // 2]
        self._answer(status)

    def do_MKCOL(self):
        self._answer(405)

    def do_GET(self):
        body = self.server.files.get(self.path)
        self._answer(404 if body is None else 200, body or b"")

    def _slowly(self, length):
        body = b""
        while len(body) < length:
            time.sleep(self.server.read_delay_s)
            body += self.rfile.read(min(4096, length - len(body)))
        return body

    def _chunked(self):
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def liar(behavior, certificate=None, port=0):
    """An HTTP server; `files` is what it has, `asked` the path and headers of every PUT.

    Its `behavior` is "lose", a status to refuse with, an http:// address to redirect to, or None.
    """
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), _Liar)
    server.behavior, server.files, server.asked = behavior, {}, []
    # Seconds before each 4 kB of a file are read.
    server.read_delay_s = 0.0
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=[0.05], daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
