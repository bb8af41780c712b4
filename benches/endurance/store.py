"""A real S3 server (SeaweedFS, as the test suite starts it), and the proxy that spoils what labhouse asks of it."""

import json
import pathlib
import random
import signal
import socket
import subprocess
import sys
import time

import boto3
import botocore.config
import botocore.exceptions

KEYS = {"AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "lab-secret"}
BUCKET, PREFIX = "lake", "lab"
START_S = 60


class Store:
    def __init__(self, folder, share, seed, only):
        ports = free_pairs()
        data = folder / "store"
        data.mkdir()
        weed = pathlib.Path(sys.executable).with_name("weed")
        options = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", "-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.max=60", "-master.volumeSizeLimitMB=64"]
        places = [f"-dir={data}", f"-master.port={ports[0]}", f"-volume.port={ports[1]}", f"-filer.port={ports[2]}", f"-s3.port={ports[3]}"]
        self.log = (folder / "store.log").open("w")
        self.server = subprocess.Popen([weed, "server", *options, *places], env={**KEYS, "PATH": "/usr/bin:/bin"}, stdout=self.log, stderr=self.log, cwd=data)
        self.direct = f"http://127.0.0.1:{ports[3]}"
        patience = botocore.config.Config(retries={"max_attempts": 8}, s3={"addressing_style": "path"})
        self.client = boto3.client(
            "s3", endpoint_url=self.direct, region_name="us-east-1", aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"], aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"], config=patience
        )
        self._make_bucket()
        self.told = folder / "faults.json"
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            port = held.getsockname()[1]
        script = pathlib.Path(__file__).with_name("faults.py")
        command = [sys.executable, script, "--listen", str(port), "--to", f"127.0.0.1:{ports[3]}", "--share", str(share), "--seed", str(seed), "--only", only, "--told", self.told]
        self.proxy = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        if self.proxy.stdout.readline() != "ready\n":
            raise RuntimeError("the proxy did not start")
        self.lake = f'url = "s3://{BUCKET}/{PREFIX}"\noptions = {{ endpoint = "http://127.0.0.1:{port}", allow_http = "true", region = "us-east-1" }}'

    def _make_bucket(self):
        deadline = time.monotonic() + START_S
        while True:
            try:
                return self.client.create_bucket(Bucket=BUCKET)
            except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.3)

    def reader(self):
        """How a foreign reader gets at the lake: its address, and the options of `deltalake`."""
        options = {**KEYS, "AWS_ENDPOINT_URL": self.direct, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1"}
        return f"s3://{BUCKET}/{PREFIX}", options

    def close(self):
        """Ends both; what the proxy did."""
        self.proxy.send_signal(signal.SIGTERM)
        self.proxy.wait(10)
        self.server.kill()
        self.server.wait()
        return json.loads(self.told.read_text()) if self.told.exists() else {}


class Bucket:
    """The landing zone of a lake in a bucket: straight into the store, as an instrument's PC would. What it does itself does
    not fail, so that what must be there is known."""

    renames = False

    def __init__(self, store):
        self.client = store.client

    def put(self, path, content):
        self.client.put_object(Bucket=BUCKET, Key=self._key(path), Body=content)

    def rename(self, old, new):
        self.client.copy_object(Bucket=BUCKET, Key=self._key(new), CopySource={"Bucket": BUCKET, "Key": self._key(old)})
        time.sleep(0.5)
        self.client.delete_object(Bucket=BUCKET, Key=self._key(old))

    def remove(self, path):
        self.client.delete_object(Bucket=BUCKET, Key=self._key(path))

    @staticmethod
    def _key(path):
        return f"{PREFIX}/landing/{path}"


def free_pairs():
    """Ports for SeaweedFS: each also needs the one 10,000 above for its gRPC."""
    found = []
    for port in range(start := random.randrange(12_000, 20_000), start + 1_000):
        try:
            for number in (port, port + 10_000):
                with socket.socket() as held:
                    held.bind(("127.0.0.1", number))
            found.append(port)
        except OSError:
            continue
        if len(found) == 4:
            return found
    raise RuntimeError("no free ports")
