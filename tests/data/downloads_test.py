"""Downloads go on where they ended, are checked, and leave whole folders only."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from asrkit.data.downloads import Archive, download, unpack
from asrkit.errors import UserError


class Server(ThreadingHTTPServer):
    """Gives one file; may end early, or know no ranges."""

    content = b""
    short, ranges = 0, True
    asked: list[str | None]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:  # noqa: N802
        asked = self.headers["Range"] if self.server.ranges else None
        self.server.asked.append(self.headers["Range"])
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if asked and start >= len(self.server.content):
            self.send_error(416)
            return
        body = self.server.content[start:]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) - self.server.short])

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def pack(*names: str) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as file:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 1000
            file.addfile(member, io.BytesIO(name.encode() * 1000))
    return written.getvalue()


@pytest.fixture
def archive(server: Server) -> Archive:
    server.content = pack("Corpus/README", "Corpus/part/a.wav", "Corpus/part/b/c.wav")
    digest = hashlib.md5(server.content).hexdigest()
    return Archive(f"http://127.0.0.1:{server.server_port}/corpus.tar.gz", f"md5:{digest}")


def test_an_archive_becomes_a_folder(archive: Archive, server: Server, tmp_path: Path) -> None:
    path = download(archive, tmp_path / "new")
    (tmp_path / "new" / "Corpus").mkdir()
    (tmp_path / "new" / "Corpus" / "README").write_text("mine")
    unpack(path, "Corpus/part", tmp_path / "new" / "Corpus" / "part")
    assert (tmp_path / "new" / "Corpus" / "part" / "b" / "c.wav").stat().st_size == 1000
    assert (tmp_path / "new" / "Corpus" / "README").read_text() == "mine"
    names = {entry.name for entry in (tmp_path / "new").iterdir()}
    assert names == {"corpus.tar.gz", "Corpus"}
    assert download(archive, tmp_path / "new") == path
    assert server.asked == [None], "an archive that is there is not downloaded again"


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_ended_goes_on(
    archive: Archive, server: Server, tmp_path: Path, ranges: bool
) -> None:
    server.short, server.ranges = 10, ranges
    with pytest.raises(UserError, match="can't be downloaded: it ended 10 bytes early"):
        download(archive, tmp_path)
    assert not (tmp_path / "corpus.tar.gz").exists()
    server.short = 0
    assert download(archive, tmp_path).read_bytes() == server.content
    assert server.asked == [None, f"bytes={len(server.content) - 10}-"]


def test_a_part_that_is_whole_is_taken(archive: Archive, server: Server, tmp_path: Path) -> None:
    (tmp_path / "corpus.tar.gz.part").write_bytes(server.content)
    assert download(archive, tmp_path).read_bytes() == server.content


def test_another_file_than_published_is_refused(
    archive: Archive, server: Server, tmp_path: Path
) -> None:
    server.content = server.content[::-1]
    with pytest.raises(UserError, match=r"corpus.tar.gz.part is not the published file: its md5"):
        download(archive, tmp_path)
    assert not (tmp_path / "corpus.tar.gz").exists()
    (tmp_path / "corpus.tar.gz").write_bytes(b"mine")
    with pytest.raises(UserError, match="delete it, and the same command downloads it again"):
        download(archive, tmp_path)


def test_no_server_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="can't be downloaded: .*; the same command continues"):
        download(Archive("http://127.0.0.1:9/corpus.tar.gz", "md5:0"), tmp_path)


@pytest.mark.parametrize("names", [("Other/x",), ("../Corpus/part/x",)])
def test_an_archive_of_something_else_leaves_nothing(tmp_path: Path, names: tuple[str]) -> None:
    (tmp_path / "corpus.tar.gz").write_bytes(pack(*names))
    (tmp_path / "in").mkdir()
    with pytest.raises(UserError, match=r"has no folder Corpus/part|can't be unpacked"):
        unpack(tmp_path / "corpus.tar.gz", "Corpus/part", tmp_path / "in" / "part")
    assert not list((tmp_path / "in").iterdir())
    assert not (tmp_path / "Corpus" / "part").exists()


def test_a_damaged_archive_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "corpus.tar.gz").write_bytes(pack("Corpus/part/a.wav")[:-20])
    with pytest.raises(UserError, match="can't be unpacked"):
        unpack(tmp_path / "corpus.tar.gz", "Corpus/part", tmp_path / "Corpus" / "part")
    assert not (tmp_path / "Corpus" / "part").exists()


@pytest.mark.parametrize("filters", [True, False], ids=["new_python", "before_3.11.4"])
@pytest.mark.parametrize("name", ["../outside.wav", "Corpus/part/link"])
def test_nothing_is_unpacked_outside_of_the_folder(
    filters: bool, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, mode="w:gz") as file:
        member = tarfile.TarInfo("Corpus/part/a.wav")
        file.addfile(member, io.BytesIO())
        odd = tarfile.TarInfo(name)
        if name.endswith("link"):
            odd.type, odd.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(odd)
    if not filters:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    with pytest.raises(UserError, match="can't be unpacked"):
        unpack(path, "Corpus/part", tmp_path / "new" / "part")
    assert not (tmp_path / "outside.wav").exists()
    assert not (tmp_path / "new" / "part").exists()


def test_archives_are_unpacked_by_any_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(pack("Corpus/part/a.wav", "Corpus/README"))
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    unpack(path, "Corpus/part", tmp_path / "new" / "part")
    assert (tmp_path / "new" / "part" / "a.wav").is_file()
