"""Recordings on their way to real servers, through outages, lies and restarts: none lost, none altered."""

import shutil
import subprocess
import threading

import pytest
from support import upload_servers
from support.helpers import wait_until
from support.recordings import encode, event, files_of, recording, watch

from edgehar.credentials import Secret
from edgehar.delivery.options import UploadOptions
from edgehar.delivery.uploader import Uploader, waiting_in
from edgehar.errors import ConfigError
from edgehar.recording.store import Archive
from edgehar.recording.verify import problems

QUICK = {"first_delay_s": 0.05, "max_delay_s": 0.2, "timeout_s": 3.0}


def identifier(number):
    return f"01a229b8-a5d9-7926-896a-{number:012d}"


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return encode(tmp_path_factory.mktemp("video") / "a.mp4", 350)


@pytest.fixture
def archive(tmp_path, video):
    """A folder with five recordings."""
    story = []
    for number in range(5):
        start_s = 2.0 + 2 * number
        story += [(start_s, event("start", start_s, id=identifier(number)))]
        story += [(start_s + 1, event("end", start_s, start_s + 1, id=identifier(number)))]
    with recording(tmp_path / "rec") as (_, camera):
        watch(camera, video, story)
    return Archive(tmp_path / "rec")


class Place:
    """A server, the settings to reach it, and the folder in which its files end up."""

    def __init__(self, server, folder, **options):
        self.server, self.folder, self.options = server, folder, options


@pytest.fixture(params=["webdav", "sftp", "s3"])
def place(request, tmp_path):
    served = tmp_path / "served"
    if request.param == "webdav":
        server = upload_servers.webdav(tmp_path, served)
        folder = served / "edge" / "hall 1"
        options = {"user": "edge", "password": Secret("s3cret@/")}
        url = "http://127.0.0.1:{port}/edge/hall%201/"
    elif request.param == "s3":
        pytest.importorskip("obstore", reason="needs the extra `upload`")
        server = upload_servers.s3(tmp_path, served)
        folder = None
        options = {"user": upload_servers.S3_USER, "password": Secret(upload_servers.S3_PASSWORD)}
        url = f"s3://{upload_servers.BUCKET}/edge"
    else:
        pytest.importorskip("paramiko", reason="needs the extra `upload`")
        server = upload_servers.sftp(tmp_path)
        folder = served
        options = {"key_file": str(tmp_path / "user"), "known_hosts_file": str(tmp_path / "known_hosts")}
        url = "sftp://{user}@127.0.0.1:{port}/" + str(served).lstrip("/")
    if server is None:
        pytest.skip(f"needs a {request.param} server: run scripts/install_test_tools.sh")
    server.start()
    options["url"] = Secret(url.format(port=server.port, user=getattr(server, "user", "")))
    if request.param == "s3":
        options["endpoint"] = f"http://127.0.0.1:{server.port}"
    yield Place(server, folder, **{**QUICK, **options})
    server.stop()


@pytest.fixture
def upload():
    uploaders = []

    def make(archive, start=True, **options):
        uploaders.append(Uploader(archive, UploadOptions(**{**QUICK, **options})))
        if start:
            uploaders[-1].start()
        return uploaders[-1]

    yield make
    for uploader in uploaders:
        if uploader._thread.ident is not None:
            uploader.close(10)


def all_there(archive, place):
    """Compare every file with what the server has; the folder of the S3 server is its own business."""
    assert list(problems(archive)) == []
    assert waiting_in(archive) == []
    receipts = [line for _, line, _ in archive.chain.lines() if line.kind == "uploaded"]
    assert len(receipts) == len({line.path for line in receipts}) == 5
    for line in archive.chain.recordings().values():
        for path in archive.files_of(line):
            if place.folder is not None:
                copy = place.folder / path.relative_to(archive.folder)
                assert copy.read_bytes() == path.read_bytes()
    if place.folder is not None:
        assert not list(place.folder.rglob("*.part"))


def test_every_file_arrives_unaltered(archive, place, upload):
    uploader = upload(archive, **place.options)
    wait_until(lambda: uploader.uploaded == 5, 60)
    all_there(archive, place)


def test_a_server_that_is_killed_and_comes_back_gets_all(archive, place, upload):
    uploader = upload(archive, **place.options, max_kb_s=60)
    killed = 0
    for count in (1, 2, 3):
        wait_until(lambda least=count: sum(map(len, uploader._sent.values())) + 3 * uploader.uploaded >= least)
        place.server.stop()
        wait_until(lambda: uploader._told or uploader.uploaded == 5, 20)
        killed += uploader.uploaded < 5
        place.server.start()
    assert killed
    wait_until(lambda: uploader.uploaded == 5, 90)
    all_there(archive, place)


def test_a_server_that_freezes_delays_and_loses_nothing(archive, place, upload):
    place.server.freeze()
    uploader = upload(archive, **{**place.options, "timeout_s": 0.5})
    wait_until(lambda: uploader._told, 30)
    place.server.thaw()
    wait_until(lambda: uploader.uploaded == 5, 60)
    all_there(archive, place)


def test_uploads_go_on_where_an_earlier_process_ended(archive, place, upload):
    first = upload(archive, start=False, **place.options)
    for line, suffix in first.pending()[:7]:
        first._upload(line, suffix)
    first._target.close()
    second = upload(archive, **place.options)
    wait_until(lambda: not waiting_in(archive), 60)
    second.close(10)
    all_there(archive, place)


def test_recordings_are_removed_here_once_the_server_has_them(archive, place, upload):
    before = {path.relative_to(archive.folder): path.read_bytes() for path in archive.folder.glob("*/*/*.mp4")}
    uploader = upload(archive, **place.options, delete_after=True)
    wait_until(lambda: uploader.uploaded == 5, 60)
    wait_until(lambda: not archive.chain.recordings() and files_of(archive.folder, ".json") == [])
    assert list(problems(archive)) == []
    if place.folder is not None:
        for name, data in before.items():
            assert (place.folder / name).read_bytes() == data


def test_an_sftp_upload_that_was_cut_off_is_continued(archive, tmp_path, upload):
    pytest.importorskip("paramiko", reason="needs the extra `upload`")
    server = upload_servers.sftp(tmp_path)
    if server is None:
        pytest.skip("needs OpenSSH's server and root: run scripts/install_test_tools.sh")
    server.start()
    served = tmp_path / "served"
    uploader = upload(
        archive, start=False, url=Secret(f"sftp://{server.user}@127.0.0.1:{server.port}{served}"),
        key_file=str(tmp_path / "user"), known_hosts_file=str(tmp_path / "known_hosts"),
    )  # fmt: skip
    line, suffix = next(file for file in uploader.pending() if file[1] == ".mp4")
    data = (archive.folder / (line.path + suffix)).read_bytes()
    growing = served / f"{line.path}{suffix}.part"
    growing.parent.mkdir(parents=True)
    asked = []

    def chunks(path, start=0):
        asked.append(start)
        return Uploader.chunks(uploader, path, start)

    uploader.chunks = chunks
    for there, start in ((data[:1000], 1000), (b"x" + data[1:1000], 0), (data + b"more", 0)):
        growing.write_bytes(there)
        uploader._target.put(line.path + suffix, archive.folder / (line.path + suffix), uploader)
        assert (served / (line.path + suffix)).read_bytes() == data
        assert asked.pop() == start
    server.stop()


def test_the_small_and_the_important_come_first(archive, upload):
    uploader = upload(archive, start=False, url=Secret("http://127.0.0.1:9/"))
    suffixes = [suffix for _, suffix in uploader.pending()]
    assert suffixes[:10].count(".mp4") == 0
    assert suffixes[10:] == [".mp4"] * 5


def test_a_server_that_loses_half_a_file_is_found_out(archive, upload):
    with upload_servers.liar("lose") as server:
        uploader = upload(archive, url=Secret(f"http://127.0.0.1:{server.server_port}/"), delete_after=True)
        wait_until(lambda: uploader._told, 20)
        assert "other bytes" in next(iter(uploader._told))
        assert len(files_of(archive.folder, ".mp4")) == 5
        server.behavior = None
        wait_until(lambda: uploader.uploaded == 5, 30)
    assert list(problems(archive)) == []


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503, 507])
def test_a_server_that_refuses_or_is_full_loses_nothing(archive, upload, status):
    with upload_servers.liar(status) as server:
        uploader = upload(archive, url=Secret(f"http://127.0.0.1:{server.server_port}/"))
        wait_until(lambda: uploader._told, 20)
        assert str(status) in next(iter(uploader._told))
        assert len(waiting_in(archive)) == 5
        server.behavior = None
        wait_until(lambda: uploader.uploaded == 5, 30)


def test_an_expired_certificate_gets_nothing(archive, upload, tmp_path):
    key, certificate = tmp_path / "k.pem", tmp_path / "c.pem"
    if shutil.which("faketime") is None:
        pytest.skip("needs faketime: run scripts/install_test_tools.sh")
    subprocess.run(
        ["faketime", "2020-01-01", "openssl", "req", "-x509",
         "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    with upload_servers.liar(None, (certificate, key)) as server:
        url = Secret(f"https://127.0.0.1:{server.server_port}/")
        uploader = upload(archive, url=url, ca_file=str(certificate))
        wait_until(lambda: uploader._told, 20)
        assert "certificate" in next(iter(uploader._told)).lower()
        assert server.files == {}


def test_a_server_that_is_gone_for_a_day_gets_all_in_the_end(archive, upload, caplog):
    port = upload_servers.free_port()
    uploader = upload(archive, url=Secret(f"http://127.0.0.1:{port}/"), first_delay_s=0.01, max_delay_s=0.01)
    tries = []
    wait = uploader._backoff.next_delay_s
    uploader._backoff.next_delay_s = lambda: tries.append(1) or wait()
    # As often as in a day, with a try every five minutes.
    wait_until(lambda: len(tries) >= 288)
    assert caplog.text.count("recordings wait") == 1
    assert len(waiting_in(archive)) == 5
    with upload_servers.liar(None, port=port) as server:
        wait_until(lambda: uploader.uploaded == 5)
        assert len(server.files) == 15
    assert list(problems(archive)) == []


def test_a_redirection_to_another_host_is_not_followed(archive, upload):
    with upload_servers.liar(None) as other, upload_servers.liar("") as server:
        server.behavior = f"http://127.0.0.1:{other.server_port}"
        uploader = upload(
            archive, url=Secret(f"http://127.0.0.1:{server.server_port}/"), user="edge", password=Secret("hunter2")
        )
        wait_until(lambda: uploader._told, 20)
        assert "307" in next(iter(uploader._told))
        assert other.asked == []
        server.behavior = None
        wait_until(lambda: uploader.uploaded == 5, 30)
        assert all("Authorization" in headers for _, headers in server.asked)


def test_a_server_that_reads_slowly_gets_all(archive, upload):
    with upload_servers.liar(None) as server:
        server.read_delay_s = 0.02
        uploader = upload(archive, url=Secret(f"http://127.0.0.1:{server.server_port}/"))
        wait_until(lambda: uploader.uploaded == 5, 60)
    assert list(problems(archive)) == []
    assert {name.removeprefix("/") for name in server.files} == {
        str(path.relative_to(archive.folder)) for path in archive.folder.glob("*/*/*") if path.name[0] != "."
    }


def test_an_event_tells_the_address_of_its_clip_once_the_server_has_it(archive):
    told = []
    with upload_servers.liar(None) as server:
        where = f"http://127.0.0.1:{server.server_port}/in"
        options = UploadOptions(**QUICK, url=Secret(where.replace("//", "//edge:hunter2@")))
        uploader = Uploader(archive, options, on_uploaded=lambda event: told.append(event) or True)
        uploader.upload_all()
        assert len(told) == 5
        for event in told:
            assert (event.phase, event.revision, event.label) == ("uploaded", 1_000_001, "bright")
            assert event.clip_url == f"{where}/{event.clip}"
            assert event.end_s == event.start_s + 1
            body = server.files[event.clip_url.partition(str(server.server_port))[2]]
            assert body == (archive.folder / event.clip).read_bytes()
    assert {event.id for event in told} == {identifier(number) for number in range(5)}


def test_a_receipt_is_not_written_before_its_event_is_taken(archive):
    taken = []
    with upload_servers.liar(None) as server:
        options = UploadOptions(**QUICK, url=Secret(f"http://127.0.0.1:{server.server_port}/"))
        ending = Uploader(archive, options, on_uploaded=lambda _: False)
        ending.start()
        ending._thread.join(30)
        assert len(waiting_in(archive)) == 5
        Uploader(archive, options, on_uploaded=lambda event: taken.append(event) or True).upload_all()
    assert len({(event.id, event.revision) for event in taken}) == 5
    assert waiting_in(archive) == []


def test_each_part_of_a_long_event_has_an_address(tmp_path, video):
    told = []
    with recording(tmp_path / "rec", max_s=2) as (_, camera):
        watch(camera, video, [(3.0, event("start", 3.0)), (9.0, event("end", 3.0, 9.0))])
    with upload_servers.liar(None) as server:
        options = UploadOptions(**QUICK, url=Secret(f"http://127.0.0.1:{server.server_port}/"))
        archive = Archive(tmp_path / "rec")
        Uploader(archive, options, on_uploaded=lambda event: told.append(event) or True).upload_all()
    clips = {str(path.relative_to(archive.folder)) for path in files_of(archive.folder, ".mp4")}
    assert {event.clip for event in told} == clips
    assert sorted(event.revision for event in told) == [1_000_000 + part for part in range(1, len(clips) + 1)]


def test_a_sealed_event_tells_its_address_while_the_program_runs(tmp_path, video):
    pyrage = pytest.importorskip("pyrage", reason="needs the extra `seal`")
    told = []
    with upload_servers.liar(None) as server:
        options = UploadOptions(**QUICK, url=Secret(f"http://127.0.0.1:{server.server_port}/"))
        key = str(pyrage.x25519.Identity.generate().to_public())
        with recording(tmp_path / "rec", seal_to=[key]) as (recorder, camera):
            archive = Archive(recorder.folder)
            uploader = Uploader(archive, options, on_uploaded=lambda event: told.append(event) or True)
            recorder.on_recorded = uploader.add
            watch(camera, video, [(3.0, event("start", 3.0)), (4.0, event("end", 3.0, 4.0))])
        uploader.upload_all()
    assert [event.clip_url.rpartition(".mp4")[2] for event in told] == [".age"]
    assert told[0].end_s == 4.0


def test_the_pace_is_kept(archive, upload):
    now = [0.0]
    uploader = Uploader(archive, UploadOptions(url=Secret("http://127.0.0.1:9/"), max_kb_s=50), clock=lambda: now[0])
    waited = []
    uploader._changed = type(
        "C", (), {"__enter__": lambda s: s, "__exit__": lambda *_: None,
                  "wait_for": lambda s, _, timeout_s: waited.append(timeout_s) and False},
    )()  # fmt: skip
    path = files_of(archive.folder, ".mp4")[0]
    assert b"".join(uploader.chunks(path)) == path.read_bytes()
    assert waited[-1] == pytest.approx(path.stat().st_size / 50e3)


def test_closing_ends_an_upload_that_is_under_way(archive, upload):
    with upload_servers.liar(None) as server:
        uploader = upload(archive, url=Secret(f"http://127.0.0.1:{server.server_port}/"), max_kb_s=0.1)
        threading.Event().wait(0.2)
        uploader.close(10)
        assert not uploader._thread.is_alive()
    assert len(waiting_in(archive)) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "ftp://host/x"}, "url must be"),
        ({"url": "https:///x"}, "url must be"),
        ({"url": "https://user:hunter2@host/x", "password": "hunter2"}, "set twice"),
        ({"url": "sftp://host/x"}, "needs a user and known_hosts_file"),
        ({"url": "https://host/x", "password_file": "/nowhere"}, "cannot be read"),
        ({"url": "https://host/x", "ca_file": "/nowhere"}, "ca_file"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_without_a_secret(archive, options, message):
    secret = {key: Secret(value) if key in ("url", "password") else value for key, value in options.items()}
    with pytest.raises(ConfigError, match=message) as caught:
        Uploader(archive, UploadOptions(**secret))
    assert "hunter2" not in str(caught.value)
