"""`edgehar-run --web`: the real command with its pages on loopback."""

import json
import signal
import socket
import subprocess
import sys
import textwrap
import urllib.error
import urllib.request

import pytest
from support.helpers import assert_one_line_error, flat_frames, run_command, start_command, write_video
from support.web_site import PASSWORD, Browser, free_port


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "bright.mp4", flat_frames([20] * 10 + [235] * 40), rate_hz=25)


class Pages:
    """A running command and a client of its pages."""

    def __init__(self, process, browser):
        self.process, self.browser = process, browser

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        _, log = self.process.communicate(timeout=60)
        return self.process.returncode, log


@pytest.fixture
def serve(tmp_path, tiny_bundle, video):
    """Starts the command on a looping video; returns `Pages` once they answer."""
    started = []

    def start(*arguments, text=""):
        config, port = tmp_path / "config.toml", free_port()
        config.write_text(
            f'model = "{tiny_bundle}"\noutput = "none"\n{text}\n'
            f'[[camera]]\nname = "hall"\nsource = "{video}"\nloop = true\nrealtime = true\n'
        )
        config.chmod(0o600)
        process = start_command("edgehar-run", "--config", config, "--web", f"127.0.0.1:{port}", *arguments)
        started.append(process)
        line = process.stderr.readline()
        while "web: http" not in line:
            assert line, "the command has ended"
            line = process.stderr.readline()
        return Pages(process, Browser(port))

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_run_shows_its_camera_live_and_stops_with_a_page_open(serve):
    pages = serve()
    live = urllib.request.urlopen(f"http://127.0.0.1:{pages.browser.port}/api/v1/cameras/hall/live.mjpg", timeout=60)
    assert b"\xff\xd8" in live.read(500)
    while (state := pages.browser.json("/api/v1/cameras/hall"))["label"] is None:
        pass
    assert state["state"] == "running"
    assert set(state["scores"]) == {"bright", "dark"}
    strip = pages.browser.json("/api/v1/cameras/hall/strip")
    assert max(strip["scores"]["bright"]) > 0
    code, log = pages.stop()
    assert code == 0
    assert "Traceback" not in log
    live.close()


def test_the_openapi_document_describes_every_answer(serve):
    import jsonschema

    pages = serve()
    document = pages.browser.json("/api/v1/openapi.json")
    assert document["openapi"].startswith("3.1")
    for path, name in (("/cameras", "Cameras"), ("/session", "SessionInfo"), ("/cameras/hall", "LiveState")):
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema.validate(pages.browser.json(f"/api/v1{path}"), schema)


def test_a_password_file_made_by_the_command_opens_the_pages(serve, tmp_path):
    file = tmp_path / "web-password"
    done = run_command("edgehar", "web", "password", "--out", file, input=f"{PASSWORD}\n")
    assert done.returncode == 0, done.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    pages = serve(text=f'[web]\npassword_file = "{file}"\n')
    assert pages.browser.get("/api/v1/cameras")[0] == 401
    assert pages.browser.log_in() == 200
    assert pages.browser.get("/api/v1/cameras")[0] == 200


def test_the_hash_is_printed_and_an_empty_password_is_refused():
    done = run_command("edgehar", "web", "password", input="x\n")
    assert done.stdout.startswith("$argon2id$")
    assert_one_line_error(run_command("edgehar", "web", "password", input="\n"), 2, "the password has 0 characters")


def test_the_pages_go_on_when_the_outputs_change(serve, tmp_path):
    pages = serve()
    while pages.browser.json("/api/v1/cameras/hall")["label"] is None:
        pass
    config = tmp_path / "config.toml"
    config.write_text(config.read_text().replace('output = "none"', f'output = "none"\nfile.path = "{tmp_path}/out"'))
    pages.process.send_signal(signal.SIGHUP)
    while "configuration read again; changed: file" not in pages.process.stderr.readline():
        pass
    while not (tmp_path / "out").exists() or not (tmp_path / "out").read_bytes():
        pages.browser.json("/api/v1/cameras/hall")
    before = json.loads((tmp_path / "out").read_text().splitlines()[0])
    assert before["source"] == "hall"
    assert pages.browser.json("/api/v1/cameras/hall")["label"] is not None


def test_a_port_in_use_is_an_error(tiny_bundle, video):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run_command("edgehar-run", "--source", video, "--model", tiny_bundle, "--web", port)
        assert_one_line_error(done, 1, f"web: cannot listen on 127.0.0.1:{port}", "set another web.listen")


@pytest.mark.parametrize(
    ("listen", "message"), [("0.0.0.0:8088", "needs a password"), ("nonsense", "must be HOST:PORT")]
)
def test_an_address_that_is_open_or_none_is_refused(tiny_bundle, video, listen, message):
    done = run_command("edgehar-run", "--source", video, "--model", tiny_bundle, "--web", listen)
    assert_one_line_error(done, 2, message)


RUN = """
    import sys
    MISSING
    from edgehar.cli.run import main
    code = main(sys.argv[1:])
    print(sorted({name.partition(".")[0] for name in sys.modules} & {"starlette", "uvicorn", "argon2", "jinja2"}))
    sys.exit(code)
"""


def run_python(text, *arguments):
    command = [sys.executable, "-c", textwrap.dedent(text), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_a_run_without_pages_loads_nothing_of_them(tiny_bundle, video):
    done = run_python(RUN.replace("MISSING", ""), "--source", video, "--model", tiny_bundle, "--output", "none")
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


VISITED = """
    import sys, threading, urllib.request
    from edgehar.cli.run import main
    from edgehar.cli.signals import Signals

    port = sys.argv.pop()
    base = f"http://127.0.0.1:{port}/"

    def visit(stop):
        for path in ("", "static/app.js", "api/v1/cameras/hall/strip"):
            urllib.request.urlopen(base + path).read()
        live, seen = urllib.request.urlopen(base + "api/v1/live?input=1"), b""
        while not (b"image/jpeg" in seen and b"image/png" in seen):
            seen += live.read1(65536)
        stop()

    class Visited(Signals):
        def attach(self, stop, reload):
            super().attach(stop, reload)
            threading.Thread(target=visit, args=[stop]).start()

    code = main(sys.argv[1:], Visited())
    print(sorted({"PIL", "anyio._backends._asyncio", "starlette.applications", "tomlkit", "argon2"} & set(sys.modules)))
    sys.exit(code)
"""


def test_a_live_page_loads_no_library_that_it_can_do_without(tiny_bundle, tmp_path, video):
    config, port = tmp_path / "config.toml", free_port()
    config.write_text(
        f'model = "{tiny_bundle}"\noutput = "none"\n'
        f'[[camera]]\nname = "hall"\nsource = "{video}"\nloop = true\nrealtime = true\n'
    )
    done = run_python(VISITED, "--config", config, "--web", f"127.0.0.1:{port}", port)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_without_the_extra_the_command_says_what_to_install(tiny_bundle, video):
    text = RUN.replace("MISSING", "sys.modules['starlette'] = None")
    done = run_python(text, "--source", video, "--model", tiny_bundle, "--web")
    assert_one_line_error(done, 2, "the pages need starlette", "pip install 'edgehar[web]'")
