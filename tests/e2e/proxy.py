"""nginx with the shipped configuration."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.runs import PROJECT, free_port

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
CONFIGURATION = PROJECT / "deploy/nginx/stock_volume.conf"


@contextmanager
def nginx(folder: Path, server: str) -> Iterator[int]:
    """Run nginx in front of a server.

    Args:
        folder: Folder for ``site.conf``, ``pid`` and ``error.log``.
        server: Address of the server.

    Yields:
        The port of nginx.
    """
    port = free_port()
    text = CONFIGURATION.read_text(encoding="utf-8")
    text = text.replace("listen 80;", f"listen 127.0.0.1:{port};")
    (folder / "site.conf").write_text(text.replace("http://127.0.0.1:3000", server))
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log;\n"
        "events { worker_connections 256; }\n"
        f"http {{ access_log off; include {folder}/site.conf; }}\n"
    )
    options = ["-e", f"{folder}/error.log", "-p", f"{folder}", "-c", f"{folder}/nginx.conf"]
    with subprocess.Popen([str(NGINX), *options]) as process:
        try:
            _wait_until_open(port, folder / "error.log")
            yield port
        finally:
            process.terminate()


def _wait_until_open(port: int, log: Path) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(log.read_text(encoding="utf-8"))
