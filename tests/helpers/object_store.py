"""A local S3 for tests: moto's server in a thread, a bucket of one's own, and settings that find it."""

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from moto.server import ThreadedMotoServer

from streamrec.config import StorageSettings
from streamrec.storage import object_store_client


@dataclass(frozen=True)
class ObjectStore:
    """A bucket that is there, and empty at first."""

    storage: StorageSettings
    bucket: str

    @property
    def url(self) -> str:
        """A place in it."""
        return f"s3://{self.bucket}/some/where"

    @property
    def client(self) -> Any:
        """What asks it."""
        return object_store_client(self.storage)

    def keys(self) -> list[str]:
        """What is in it, sorted."""
        found = self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return [each["Key"].removeprefix("some/where/") for each in found]

    def put(self, key: str, value: bytes) -> None:
        """Put an object in its place."""
        self.client.put_object(Bucket=self.bucket, Key=f"some/where/{key}", Body=value)

    def get(self, key: str) -> bytes:
        """An object."""
        found: bytes = self.client.get_object(Bucket=self.bucket, Key=f"some/where/{key}")["Body"].read()
        return found

    def delete(self, key: str) -> None:
        """Remove an object."""
        self.client.delete_object(Bucket=self.bucket, Key=f"some/where/{key}")


@contextmanager
def object_store(bucket: str | None = None) -> Iterator[ObjectStore]:
    """An object store that answers on a port of its own; a bucket without a name is given one."""
    server = start_server()
    try:
        host, port = server.get_host_and_port()
        storage = StorageSettings(
            endpoint=f"http://{host}:{port}", access_key="test", secret_key="test", region="us-east-1"
        )
        made = ObjectStore(storage, bucket or f"models-{uuid.uuid4().hex[:12]}")
        made.client.create_bucket(Bucket=made.bucket)
        yield made
    finally:
        stop_server(server)


def start_server(port: int = 0) -> ThreadedMotoServer:
    """A server on a port, 0 for a free one; what is in its buckets outlives it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    return server


def stop_server(server: ThreadedMotoServer) -> None:
    """Stop answering, and let the port go."""
    server.stop()
    server._server.server_close()
