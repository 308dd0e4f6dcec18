"""What tests of several rooms share: brokers that really run, and topics nobody else uses."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from kafka_server import KafkaUnavailable, apache_kafka

from models.warming import warm_up
from streams.broker import EmbeddedBroker


@pytest.fixture(scope="session")
def embedded_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """One embedded broker for the whole session; take a `prefix` of your own on it."""
    # Workers of many tests start on it: what they compile at their first start is compiled once, before.
    warm_up()
    log_file = tmp_path_factory.mktemp("broker") / "broker.log"
    with EmbeddedBroker(log_file=log_file) as broker:
        yield broker


@pytest.fixture(scope="session")
def kafka_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Apache Kafka's address; skips, with the reason, where it cannot be run."""
    try:
        with apache_kafka(tmp_path_factory.mktemp("kafka")) as address:
            yield address
    except KafkaUnavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest) -> str:
    """`host:port` of each kind of broker we promise to work with."""
    if request.param == "kafka":
        address: str = request.getfixturevalue("kafka_address")
        return address
    embedded: EmbeddedBroker = request.getfixturevalue("embedded_broker")
    return embedded.address


@pytest.fixture
def prefix() -> str:
    """A prefix for this test only: topics of one test are never seen by another."""
    return f"t{uuid.uuid4().hex[:8]}."
