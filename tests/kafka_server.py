"""Apache Kafka itself, for tests and benchmarks: one KRaft node from a folder of jars
(`EVERGRAPH_KAFKA_LIBS`).

The embedded broker is close to Kafka but not Kafka; what must hold on both is tested on both.
`tests/kafka/pom.xml` fetches the jars.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.broker import answers

LIBS_VARIABLE = "EVERGRAPH_KAFKA_LIBS"
READY_WITHIN_S = 90.0


class KafkaUnavailable(RuntimeError):
    """Raised where Apache Kafka cannot be run here; the text is the reason to print when skipping."""


def kafka_libs() -> Path:
    """The folder of jars. Raises `KafkaUnavailable`."""
    folder = os.environ.get(LIBS_VARIABLE)
    if not folder:
        raise KafkaUnavailable(f"{LIBS_VARIABLE} is not set: fetch the jars with tests/kafka/pom.xml")
    libs = Path(folder)
    if not any(libs.glob("kafka_2.13-*.jar")):
        raise KafkaUnavailable(f"{LIBS_VARIABLE}={folder}: holds no kafka_2.13 jar")
    if shutil.which("java") is None:
        raise KafkaUnavailable("no java on the path")
    return libs


@contextmanager
def apache_kafka(folder: Path) -> Iterator[str]:
    """Run one node with its files in `folder`; gives `host:port`. Raises `KafkaUnavailable`."""
    libs = kafka_libs()
    port, controller_port = _free_ports(2)
    config = folder / "server.properties"
    config.write_text(_properties(port, controller_port, folder / "log"))
    output = folder / "kafka.out"
    java = ["java", "-Xmx512m", "-Xms256m", "-cp", f"{libs}/*"]
    cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    format_ = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(config)]
    with output.open("wb") as sink:
        subprocess.run([*java, *format_], stdout=sink, stderr=sink, check=True, timeout=READY_WITHIN_S)
        process = subprocess.Popen([*java, "kafka.Kafka", str(config)], stdout=sink, stderr=sink)
    try:
        _wait(process, f"127.0.0.1:{port}", output)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], address: str, output: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while not answers(address):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"Kafka is not ready: {output.read_text('utf-8', 'replace')[-2000:]}")
        time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _properties(port: int, controller_port: int, log_dir: Path) -> str:
    return "\n".join(
        (
            "process.roles=broker,controller",
            "node.id=1",
            f"controller.quorum.voters=1@127.0.0.1:{controller_port}",
            f"listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
            f"advertised.listeners=PLAINTEXT://127.0.0.1:{port}",
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.listener.names=CONTROLLER",
            "inter.broker.listener.name=PLAINTEXT",
            f"log.dirs={log_dir}",
            "offsets.topic.replication.factor=1",
            "offsets.topic.num.partitions=1",
            "transaction.state.log.replication.factor=1",
            "transaction.state.log.min.isr=1",
            "group.initial.rebalance.delay.ms=0",
            "auto.create.topics.enable=false",
            "",
        )
    )
