"""The files that deploy streamrec, against their specifications and against the code they run."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from kafka.admin import ConfigResource
from pydantic import BaseModel

from streamrec import metrics
from streamrec.config import KafkaSettings, Settings, load_settings
from streamrec.topics import connect

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("streamrec")]
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
RULES = yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule]
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "streamrec.json").read_text())
TEXTS = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in [ROOT / "docker-compose.yml", *sorted(path for path in DEPLOY.rglob("*") if path.is_file())]
}


DOCUMENTS = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
}


def run(*command: str | Path) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# Compose


def test_the_compose_file_follows_the_specification():
    run(
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        ROOT / "docker-compose.yml",
    )


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_runs_as_root_or_gains_privileges(name):
    service = SERVICES[name]
    assert re.fullmatch(r"[1-9]\d*:\d+", service["user"])
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    assert service.get("read_only") or name == "kafka"


@pytest.mark.parametrize("image", [service["image"] for service in SERVICES.values()])
def test_every_image_has_a_full_version(image):
    assert re.search(r":v?\d+\.\d+\.\d+$", image)


def test_our_images_carry_our_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {SERVICES[name]["image"].split(":")[1] for name in OURS} == {version}


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_this_machine_only(name):
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize(
    "name", [name for name, service in SERVICES.items() if service["restart"] == "unless-stopped"]
)
def test_every_lasting_service_has_a_health_check(name):
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


def test_volumes_are_declared_and_mounted_files_exist():
    for service in SERVICES.values():
        for source in (mount.split(":")[0] for mount in service.get("volumes", [])):
            assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


def test_services_wait_for_services_that_can_become_what_they_wait_for():
    for service in SERVICES.values():
        for other, dependency in service.get("depends_on", {}).items():
            healthy = dependency["condition"] == "service_healthy"
            assert (
                "healthcheck" in SERVICES[other]
                if healthy
                else SERVICES[other]["restart"] != "unless-stopped"
            )


# Settings and verbs


def variables(model: type[BaseModel], prefix: str = "STREAMREC_") -> Iterator[str]:
    """Every variable that sets something; `NAME__` stands for the keys of a mapping."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from variables(field.annotation, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}"
            if str(field.annotation).startswith("dict"):
                yield f"{prefix}{name.upper()}__"


KNOWN = set(variables(Settings))


@pytest.mark.parametrize("name", [*TEXTS, *DOCUMENTS])
def test_every_variable_that_is_named_is_a_setting(name):
    named = set(re.findall(r"STREAMREC_[A-Z][A-Z_]*[A-Z]", {**TEXTS, **DOCUMENTS}[name]))
    named -= {"STREAMREC_REQUIRE_KAFKA"}
    unknown = {each for each in named if each not in KNOWN and f"{each.rpartition('__')[0]}__" not in KNOWN}
    assert not unknown


def interpolated(value: object) -> str:
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value))


@pytest.mark.parametrize("name", OURS)
def test_the_environment_of_a_service_makes_settings(name, monkeypatch):
    image = dict(re.findall(r"(STREAMREC_\w+)=(\S+)", DOCKERFILE))
    for variable, value in {**image, **SERVICES[name]["environment"]}.items():
        if value is not None:  # else it is passed on, if it is set
            monkeypatch.setenv(variable, interpolated(value))
    settings = load_settings()
    assert settings.kafka.bootstrap == "kafka:19092"
    assert settings.web.host == "0.0.0.0"
    mounts = [mount.split(":")[1] for mount in SERVICES[name].get("volumes", [])]
    key = settings.registry.signing_key
    theirs = [str(key.parent), str(settings.training.folder)] if key else []
    assert set(mounts) <= {str(settings.registry.path), settings.history.url, *theirs}
    # Only where models are made is there a key to sign them with; all others need to trust it.
    assert (key is not None) == name.startswith("training")
    assert "STREAMREC_REGISTRY__TRUSTED_KEYS" in SERVICES[name]["environment"]


@pytest.mark.parametrize("name", ["state", "scoring", "evaluation"])
def test_sources_that_learn_from_sessions_are_switched_on_from_outside(name, monkeypatch):
    chapter = DOCUMENTS["docs/operations.md"].partition("## Sources that learn from sessions")[2]
    wanted = dict(re.findall(r"^    (STREAMREC_\w+)='?([^'\n]+)'?$", chapter, re.MULTILINE))
    wanted["STREAMREC_SCORING__TRACE"] = "true"
    environment = SERVICES[name]["environment"]
    assert {each for each, value in environment.items() if value is None} == set(wanted)
    for variable, value in {**environment, **wanted}.items():
        monkeypatch.setenv(variable, interpolated(value))
    settings = load_settings()
    assert settings.scoring.weights["stan"]
    assert settings.state.recent_sessions
    assert settings.scoring.trace


def verbs(text: str) -> set[tuple[str, ...]]:
    """Commands that a text names in backticks, without options and placeholders."""
    return {
        tuple(word for word in command.split()[1:] if re.fullmatch(r"[a-z][a-z0-9]*", word))
        for command in re.findall(r"`(streamrec [^`]+)`", text)
    }


def commands() -> set[tuple[str, ...]]:
    named = {tuple(word for word in SERVICES[name]["command"] if not word.startswith("-")) for name in OURS}
    sources = [path for folder in ("agents", "models", "streamrec") for path in (ROOT / folder).rglob("*.py")]
    advice = [*TEXTS.values(), *DOCUMENTS.values(), *(path.read_text() for path in sources)]
    return named.union(*map(verbs, advice)) - {()}


@pytest.mark.parametrize("path", sorted(commands()), ids=" ".join)
def test_every_command_that_is_named_exists(path):
    from streamrec.cli import app

    command: Any = typer.main.get_command(app)
    for word in path:
        assert word in command.commands, f"streamrec {' '.join(path)}"
        command = command.commands[word]


def test_the_image_is_built_from_what_the_docker_ignore_file_lets_in():
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source.strip("/")
        for arguments in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in arguments.split()[:-1]
    }
    assert copied == allowed
    assert all((ROOT / source).exists() for source in copied)


def test_the_image_is_pinned_and_ends_as_an_ordinary_user():
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert all(re.search(r":\d+\.\d+\.\d+-", base) for base in bases)
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE) == ["10001:10001"]
    for name in OURS:
        assert (ROOT / "requirements" / f"{SERVICES[name]['build']['args']['SET']}.txt").exists()


def test_kafka_knows_every_setting_it_is_given(broker):
    given = {
        name.removeprefix("KAFKA_").lower().replace("_", ".")
        for name in SERVICES["kafka"]["environment"]
        if name != "KAFKA_HEAP_OPTS"
    }
    with connect(KafkaSettings(bootstrap=broker.bootstrap)) as admin:
        node = str(admin.describe_cluster()["brokers"][0]["broker_id"])
        described = admin.describe_configs([ConfigResource("BROKER", node)], config_filter="all")
    assert given <= set(described["broker"][node])


# Prometheus and Grafana


def names_in(expression: str) -> set[str]:
    """Names of the metrics and recordings in a PromQL expression, without those of its labels."""
    bare = re.sub(
        r'"[^"]*"|\{[^}]*\}|\[[^]]*\]|\b(by|ignoring|on|without|group_left)\s*\([^)]*\)', " ", expression
    )
    return set(re.findall(r"\b(?:streamrec[_:][\w:]+|up|process_\w+|ALERTS)\b", bare))


def queries() -> list[str]:
    rules = [rule["expr"] for group in RULES["groups"] for rule in group["rules"]]
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
    return rules + panels + [each["expr"] for each in DASHBOARD["annotations"]["list"]]


def known_names() -> set[str]:
    families = list(metrics.REGISTRY.collect())
    series = {family.name for family in families if family.type in ("gauge", "unknown")}
    series |= {f"{family.name}_total" for family in families if family.type == "counter"}
    histograms = [family.name for family in families if family.type == "histogram"]
    series |= {f"{name}_{part}" for name in histograms for part in ("bucket", "count", "sum")}
    recorded = {rule["record"] for group in RULES["groups"] for rule in group["rules"] if "record" in rule}
    return series | recorded | {"up", "ALERTS"}


@pytest.mark.parametrize("query", queries())
def test_every_query_asks_for_metrics_that_exist(query):
    assert names_in(query)
    assert names_in(query) <= known_names()


def test_histogram_bounds_in_queries_are_bounds_of_the_histogram():
    bounds = {str(bound) for bound in metrics.freshness._upper_bounds}
    for query in queries():
        asked = re.findall(r'streamrec_freshness_seconds_bucket\{le="([^"]+)"\}', query)
        assert set(asked) <= bounds


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_every_alert_says_what_happened_and_what_to_do(alert):
    assert alert["labels"]["severity"] in ("page", "ticket")
    assert {"summary", "description", "action"} == set(alert["annotations"])
    assert all(text.strip() for text in alert["annotations"].values())


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_every_alert_has_a_test_that_lets_it_fire(alert):
    tests = yaml.safe_load((DEPLOY / "prometheus" / "rules_test.yml").read_text())["tests"]
    fired = {
        name
        for test in tests
        for expected in test.get("promql_expr_test", [])
        for sample in expected.get("exp_samples", [])
        for name in re.findall(r'alertname="(\w+)"', f"{sample['labels']} {expected['expr']}")
    }
    fired |= {
        each["alertname"]
        for test in tests
        for each in test.get("alert_rule_test", [])
        if each.get("exp_alerts")
    }
    assert alert["alert"] in fired


@pytest.fixture(scope="module")
def promtool() -> str:
    path = shutil.which("promtool")
    if path is None:
        pytest.skip("promtool is not installed; on Debian it is part of the package prometheus")
    return path


def test_prometheus_accepts_its_configuration(promtool):
    run(promtool, "check", "config", DEPLOY / "prometheus" / "prometheus.yml")


def test_the_alerts_fire_when_they_should(promtool):
    run(promtool, "test", "rules", DEPLOY / "prometheus" / "rules_test.yml")


def test_the_dashboards_queries_are_promql(promtool, tmp_path):
    rules = [{"record": f"panel:{n}", "expr": query} for n, query in enumerate(queries())]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    run(promtool, "check", "rules", path)


def test_prometheus_asks_where_the_apps_answer():
    jobs = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    for job in jobs:
        (found,) = job["dns_sd_configs"]
        (service,) = found["names"]
        port = SERVICES[service]["environment"]["STREAMREC_WEB__PORT"]
        assert found["port"] == port
        assert SERVICES[service]["expose"] == [str(port)]


def test_panels_have_distinct_ids_and_the_provisioned_data_source():
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())[
        "datasources"
    ][0]
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            assert target["datasource"] == {"type": source["type"], "uid": source["uid"]}


def test_panels_do_not_overlap():
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
