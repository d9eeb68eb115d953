"""An S3 server on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import fsspec
from moto.moto_api._internal.models import moto_api_backend
from moto.server import ThreadedMotoServer


@dataclass(frozen=True)
class S3Server:
    """A running server with one bucket.

    Attributes:
        url: Its address.
    """

    url: str

    @property
    def fsspec(self) -> dict[str, str]:
        """Options of fsspec to connect to it."""
        return {"key": "key", "secret": "secret", "endpoint_url": self.url}

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables to connect to it."""
        return {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
        }

    @property
    def polars(self) -> dict[str, str]:
        """Options of Polars to connect to it."""
        return {
            name.lower(): value
            for name, value in self.variables.items()
            if name != "AWS_DEFAULT_REGION"
        }


@contextmanager
def s3_server(bucket: str) -> Iterator[S3Server]:
    """Serve an empty bucket on a free port until the end of the block."""
    moto_api_backend.reset()  # all servers of a process share their buckets
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    running = S3Server(f"http://{host}:{port}")
    try:
        fsspec.filesystem("s3", **running.fsspec).mkdir(bucket)
        yield running
    finally:
        server.stop()
