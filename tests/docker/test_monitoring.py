"""Recording rules, alerts and the dashboard: `promtool` runs the tests of the first two, and every metric and label
that they name exists."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.state.queues import TASKS
from rendering.metrics import series

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
RULE_TESTS = Path(__file__).parent / "rules"
DASHBOARD = DOCKER / "grafana" / "dashboards" / "vireo.json"

OF_TARGETS = {"job", "instance"}  # Prometheus adds them to every series that it scrapes
OF_PROMETHEUS = {"up": set[str](), "ALERTS": {"alertname", "alertstate", "severity"}}
WORDS = {"by", "or", "and", "unless", "without"}


def promtool(*arguments: str, cwd: Path = DOCKER) -> str:
    """`make test` puts it into the virtual environment."""
    tool = shutil.which("promtool", path=str(Path(sys.executable).parent)) or shutil.which("promtool")
    assert tool, "promtool is missing: `make .venv/bin/promtool` fetches it on Debian and Ubuntu"
    done = subprocess.run([tool, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rules(name: str) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load((DOCKER / name).read_text())["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules("alerts.yml")}


def recorded() -> dict[str, str]:
    return {rule["record"]: rule["expr"] for rule in rules("rules.yml")}


@cache
def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str, str]]:
    """Where an expression stands, the expression, and the text that shows its labels."""
    for record, expr in recorded().items():
        yield record, expr, ""
    for name, rule in alerts().items():
        shown = json.dumps(rule["annotations"])
        yield name, rule["expr"], " ".join(f"{{{{{label}}}}}" for label in re.findall(r"\$labels\.(\w+)", shown))
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"], target["legendFormat"]
    for annotation in dashboard()["annotations"]["list"]:
        yield annotation["name"], annotation["expr"], annotation["titleFormat"]


def kept_labels(expr: str) -> set[str]:
    """What the outermost aggregation of a recorded expression leaves."""
    kept = re.search(r"\bby \(([\w, ]+)\)", expr)
    return set(kept[1].split(", ")) - {"le"} if kept else set()


@cache
def known() -> dict[str, set[str]]:
    """Every name that an expression may use, and its labels."""
    found = dict(OF_PROMETHEUS)
    for metric in series():
        labels = set(metric.labels)
        if metric.type == "histogram":
            found |= {f"{metric.name}_sum": labels, f"{metric.name}_count": labels}
            found[f"{metric.name}_bucket"] = labels | {"le"}
        else:
            found[metric.name] = labels
    return found | {name: kept_labels(expr) for name, expr in recorded().items()}


def named(expr: str) -> set[str]:
    """The metrics in an expression."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\bby \([^)]*\)', " ", expr)
    return set(re.findall(r"(?<![\w:.])[A-Za-z_:][\w:]*\b(?![\w:]|\s*\()", bare)) - WORDS


CASES = [pytest.param(*case, id=f"{number}-{case[0]}") for number, case in enumerate(expressions())]


@pytest.mark.parametrize(("where", "expr", "shown"), CASES)
def test_every_metric_and_label_exists(where: str, expr: str, shown: str) -> None:
    metrics = named(expr)
    assert metrics, where
    assert metrics <= set(known()), where
    for metric, matchers in re.findall(r"([\w:]+)\{([^}]*)\}", expr):
        assert set(re.findall(r"(\w+)\s*[=!]", matchers)) <= known()[metric] | OF_TARGETS, (where, metric)
    possible = set.union(*(known()[metric] for metric in metrics))
    for grouping in re.findall(r"\bby \(([^)]*)\)", expr):
        assert set(grouping.split(", ")) <= possible | OF_TARGETS, where
    left = kept_labels(expr) if " by (" in expr else possible | OF_TARGETS
    assert set(re.findall(r"\{\{\s*(\w+)\s*\}\}", shown)) <= left, where


@pytest.mark.parametrize(
    ("expr", "names"),
    [
        ("sum by (le) (rate(a_bucket[5m])) / 2", {"a_bucket"}),
        ('max(b{queue="up"}) == 0 and time() - c:d:e > 1e3', {"b", "c:d:e"}),
        ("x or vector(0)", {"x"}),
    ],
)
def test_metrics_are_found_in_expressions(expr: str, names: set[str]) -> None:
    assert named(expr) == names


def test_names_of_recorded_series_begin_with_their_labels() -> None:
    for name, expr in recorded().items():
        level = name.partition(":")[0]
        assert set(level.split("_")) == (kept_labels(expr) or {"vireo"}), name


def test_the_files_are_valid_for_prometheus() -> None:
    promtool("check", "config", "prometheus.yml")


def test_alerts_fire_when_they_must_and_rules_compute_what_they_say() -> None:
    promtool("test", "rules", "alerts_test.yml", "recorded_test.yml", cwd=RULE_TESTS)


def test_every_alert_and_every_rule_has_a_test() -> None:
    groups = yaml.safe_load((RULE_TESTS / "alerts_test.yml").read_text())["tests"]
    tried = [case for group in groups for case in group["alert_rule_test"]]
    assert {case["alertname"] for case in tried if case.get("exp_alerts")} == set(alerts())
    text = (RULE_TESTS / "recorded_test.yml").read_text()
    assert [name for name in recorded() if name not in text] == []


def test_every_panel_has_a_valid_expression(tmp_path: Path) -> None:
    checked = [
        {"record": f"panel:{panel['id']}:{target['refId']}", "expr": target["expr"]}
        for panel in panels()
        for target in panel["targets"]
    ]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": checked}]}))
    assert f"{len(checked)} rules found" in promtool("check", "rules", "panels.yml", cwd=tmp_path)


def test_the_dashboard_shows_what_operators_ask_for() -> None:
    shown = {name for panel in panels() for target in panel["targets"] for name in named(target["expr"])}
    assert shown >= {
        "route_status:vireo_http_requests:rate5m",
        "stage:vireo_stage_seconds:p95_rate5m",
        "vireo_queue_age_seconds",
        "vireo:batch_size:mean_rate5m",
        "tower:vireo_batch_wait_seconds:p95_rate5m",
        "tier:vireo_cache_hits:ratio_rate5m",
        "vireo_decode_failures_total",
        "vireo:video_seconds_processed:rate5m",
        "vireo_redis_used_bytes",
        "vireo_gpu_memory_bytes",
        "vireo_train_loss",
    }


def test_panels_do_not_overlap_and_ask_the_provisioned_datasource() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert max(x for x, _ in own) < 24, panel["title"]
        assert not own & cells, panel["title"]
        cells |= own
    (source,) = yaml.safe_load((DOCKER / "grafana" / "datasource.yml").read_text())["datasources"]
    asked = {panel["datasource"]["uid"] for panel in panels()} | {
        target["datasource"]["uid"] for panel in panels() for target in panel["targets"]
    }
    assert asked == {source["uid"]}
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(ids) == len(set(ids))


def test_compose_gives_grafana_the_files_that_it_looks_for() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    grafana = services["grafana"]
    mounts = dict(volume.split(":")[:2] for volume in grafana["volumes"] if volume.startswith("./"))
    assert all((ROOT / source).exists() for source in mounts)
    (provider,) = yaml.safe_load((DOCKER / "grafana" / "dashboards.yml").read_text())["providers"]
    assert mounts["./docker/grafana/dashboards"] == provider["options"]["path"]
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/{DASHBOARD.name}"
    assert grafana["environment"]["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    mounted = {volume.split(":")[0] for volume in services["prometheus"]["volumes"]}
    config = yaml.safe_load((DOCKER / "prometheus.yml").read_text())
    assert mounted >= {f"./docker/{name}" for name in ("prometheus.yml", *config["rule_files"])}


def test_alerts_watch_every_queue() -> None:
    watched = {
        name
        for rule in alerts().values()
        for names in re.findall(r'queue=~?"([\w|]+)"', rule["expr"])
        for name in names.split("|")
    }
    assert watched == set(TASKS)
