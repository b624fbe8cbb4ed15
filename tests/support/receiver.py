"""A web server that takes events: in a thread, told what to answer, or as a program that can be killed and frozen."""

import http.server
import json
import pathlib
import socket
import ssl
import subprocess
import sys
import threading
import time


class Receiver:
    """A real server on a free loopback port.

    Attributes:
        answers: of the next requests, each a status or a status and headers; 204 when there are none left.
        got: path, headers and body of every request, whatever it was answered.
        taken: the bodies answered with 2xx, in order.
    """

    def __init__(self, port=0, *, certificate=None, key=None, delay_s=0.0, keep_alive=True, taken=None):
        receiver = self
        self.answers, self.got, self.delay_s = [], [], delay_s
        self.taken = [] if taken is None else taken
        self.connections = 0

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1" if keep_alive else "HTTP/1.0"

            def setup(self):
                receiver.connections += 1
                super().setup()

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(receiver.delay_s)
                receiver.got.append((self.path, dict(self.headers), body))
                status = receiver.answers.pop(0) if receiver.answers else receiver.status_for(body)
                status, headers = status if isinstance(status, tuple) else (status, {})
                # Before the answer, because the next request comes on another thread as soon as this one is answered.
                if 200 <= status < 300:
                    receiver.taken.append(body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True)
        self._thread.start()

    def status_for(self, body):
        """What an event is answered with when `answers` is empty."""
        return 204

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class ReceiverProgram:
    """The same as a process, which writes each body it takes as a line into a file."""

    def __init__(self, folder):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._log = folder / "taken"
        self._log.touch()
        self._process = None

    @property
    def taken(self):
        # Whole lines only: a write that crosses a page of the file is seen in parts.
        return self._log.read_bytes().rpartition(b"\n")[0].splitlines()

    def start(self):
        command = [sys.executable, __file__, str(self.port), self._log]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout.readline() == b"ready\n"
        return self

    def signal(self, number):
        self._process.send_signal(number)

    def kill(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._process = None


def numbers(bodies):
    """The numbers of events, by their bodies."""
    return [int(json.loads(body)["id"]) for body in bodies]


def _main(port, path):
    class Lines(list):
        def append(self, body):
            with pathlib.Path(path).open("ab") as log:
                log.write(body + b"\n")

    # A sender may retry from the first moment on.
    Receiver(int(port), taken=Lines())
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    _main(*sys.argv[1:])
