"""An object store on this machine: a server of the S3 protocol, and the environment that names it."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import boto3
import s3fs
import urllib3
from moto.server import ThreadedMotoServer

KEY, SECRET, TOKEN = "AKIDHEADSUPEXAMPLE", "c2VjcmV0LW9mLWhlYWRzdXA", "dG9rZW4tb2YtaGVhZHN1cA"
BUCKET = "portraits"


@contextmanager
def object_store() -> Generator[Any]:
    """A client of a server that holds an empty bucket; the environment, which processes that are started inherit, says
    where it is and who may use it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_SESSION_TOKEN": TOKEN,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    s3fs.S3FileSystem.clear_instance_cache()
    urllib3.request("POST", f"{environment['AWS_ENDPOINT_URL']}/moto-api/reset")  # servers of a process share buckets
    client = boto3.client("s3", endpoint_url=environment["AWS_ENDPOINT_URL"])
    client.create_bucket(Bucket=BUCKET)
    try:
        yield client
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
        server.stop()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def names(client: Any, prefix: str) -> list[str]:
    """What objects that begin so are called, sorted."""
    found = client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    return sorted(entry["Key"] for entry in found)


def content(client: Any, name: str) -> bytes:
    """What is in an object."""
    return client.get_object(Bucket=BUCKET, Key=name)["Body"].read()
