from __future__ import annotations

from launcher.supervisor import WORKER_QUEUES, metrics_port


def test_each_worker_has_a_metrics_port_of_its_own() -> None:
    ports = [metrics_port(9100, name)["VIREO_METRICS_PORT"] for name in WORKER_QUEUES]
    assert ports == ["9100", "9101", "9102"]
    assert metrics_port(None, "worker") == {}
