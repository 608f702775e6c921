#!/usr/bin/env python3
"""Checks deploy/ and docker/ without a cluster: manifests against Kubernetes' schemas, what the design asks of
them, the dashboard's queries, the rules by promtool, names of metrics and settings against the server's sources.

Run by scripts/lib/python (the pinned virtual environment). `deploy_test.py --write-rule` makes
deploy/prometheus/prometheus-rule.yaml from hfwa-rules.yaml.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import unittest
from pathlib import Path

import kubernetes_validate
import promql_parser
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
OVERLAYS = ["cpu", "gpu", "dev"]
KUBERNETES = "1.32"
RULE = DEPLOY / "prometheus/prometheus-rule.yaml"


def make_rule():
    rules = yaml.safe_load((DEPLOY / "prometheus/hfwa-rules.yaml").read_text())
    text = yaml.safe_dump({
        "apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule",
        "metadata": {"name": "hfwa", "labels": {"app.kubernetes.io/name": "hfwa", "app.kubernetes.io/instance": "hfwa"}},
        "spec": rules}, sort_keys=False, width=120)
    return "# Made from hfwa-rules.yaml by tests/deploy/deploy_test.py --write-rule; change that one.\n" + text


def metrics():
    """Name of every series that the server exports, and the labels it may carry."""
    names = {}
    for line in (DEPLOY / "metrics.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        name, kind, *labels = line.split()
        if kind == "histogram":
            names[name + "_bucket"] = {"le", *labels}
            names[name + "_sum"] = names[name + "_count"] = set(labels)
        else:
            names[name] = set(labels)
    return names


# Series of others that rules and dashboards use.
FOREIGN = re.compile(r"up$|kubelet_volume_stats_\w+$")
TARGET_LABELS = {"job", "instance", "persistentvolumeclaim"}


def selectors(expression):
    """(name, labels that it matches on) of each selector in a PromQL text; Grafana's variables are filled in."""
    text = expression.replace("$__rate_interval", "5m").replace("$__range", "1h")
    promql_parser.parse(text)  # raises on bad syntax
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", text)
    for match in re.finditer(r"([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?(?!\s*\(|[\w:])", strip_strings(bare)):
        name = match.group(1)
        if name in ("or", "and", "unless", "bool", "offset", "inf", "nan"):
            continue
        yield name, set(re.findall(r"(\w+)\s*[=!]~?", match.group(2) or ""))


def strip_strings(text):
    text = re.sub(r'"[^"]*"', '""', text)
    return re.sub(r"\[[^\]]*\]|\b\d[\w.]*", " ", text)


def rendered(folder):
    run = subprocess.run(["kubectl", "kustomize", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if run.returncode:
        raise AssertionError(f"kubectl kustomize {folder}: {run.stderr}")
    return [d for d in yaml.safe_load_all(run.stdout) if d]


def server_sources():
    return "\n".join(p.read_text() for p in sorted((ROOT / "server").glob("*.cc")))


class Files(unittest.TestCase):
    def test_every_yaml_file_parses(self):
        found = list(DEPLOY.rglob("*.yaml"))
        self.assertGreater(len(found), 10)
        for path in found:
            with self.subTest(path.relative_to(ROOT)):
                self.assertTrue(list(yaml.safe_load_all(path.read_text())))

    def test_kustomizations_name_files_that_exist(self):
        for path in DEPLOY.rglob("kustomization.yaml"):
            content = yaml.safe_load(path.read_text())
            for name in content.get("resources", []) + content.get("components", []):
                self.assertTrue((path.parent / name).exists(), f"{path}: {name}")

    def test_settings_files_use_keys_of_the_server(self):
        table = ROOT / "server/settings_table.cc"
        if not table.exists():
            self.skipTest("server/settings_table.cc is not there")
        known = set(re.findall(r'\{"([a-z0-9-]+)",\s*T::k', table.read_text()))
        self.assertIn("listen", known)
        for path in DEPLOY.rglob("*.toml"):
            unknown = set(tomllib.loads(path.read_text())) - known
            self.assertFalse(unknown, f"{path}: the server knows no {unknown}")
        for path in (ROOT / "docker").glob("Dockerfile.*"):
            names = {n for n in re.findall(r"\bHFWA_([A-Z_0-9]+)=", path.read_text())} - {"CACHE", "LIBTORCH", "BUILD_TESTS"}
            unknown = {n.lower().replace("_", "-") for n in names} - known
            self.assertFalse(unknown, f"{path}: the server knows no {unknown}")

    def test_drain_fits_into_the_pod_s_grace(self):
        pod = yaml.safe_load((DEPLOY / "kustomize/base/statefulset.yaml").read_text())["spec"]["template"]["spec"]
        for path in DEPLOY.rglob("*.toml"):
            seconds = int(tomllib.loads(path.read_text())["drain-timeout"].removesuffix("s"))
            self.assertGreaterEqual(pod["terminationGracePeriodSeconds"], seconds + 10, path)


@unittest.skipUnless(shutil.which("kubectl"), "no kubectl: manifests are only parsed")
class Manifests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.overlays = {name: rendered(DEPLOY / "kustomize/overlays" / name) for name in OVERLAYS}

    def one(self, overlay, kind, name="hfwa"):
        found = [d for d in self.overlays[overlay] if d["kind"] == kind and d["metadata"]["name"] == name]
        self.assertEqual(len(found), 1, f"{overlay}: {kind}/{name}")
        return found[0]

    def test_manifests_match_kubernetes_schemas(self):
        for overlay, documents in self.overlays.items():
            for document in documents:
                if document["apiVersion"].startswith("monitoring.coreos.com"):
                    continue  # of the Prometheus operator
                with self.subTest(f"{overlay}: {document['kind']}"):
                    kubernetes_validate.validate(document, KUBERNETES, strict=True)

    def test_validator_finds_a_wrong_type(self):
        broken = json.loads(json.dumps(self.one("cpu", "StatefulSet")))
        broken["spec"]["replicas"] = "x"
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(broken, KUBERNETES, strict=True)

    def test_pod_is_hardened(self):
        for overlay in OVERLAYS:
            pod = self.one(overlay, "StatefulSet")["spec"]["template"]["spec"]
            self.assertTrue(pod["securityContext"]["runAsNonRoot"])
            self.assertEqual(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault")
            self.assertFalse(pod["automountServiceAccountToken"])
            self.assertFalse(pod["enableServiceLinks"], "HFWA_PORT and its kin would be unknown settings")
            container = pod["containers"][0]
            self.assertTrue(container["securityContext"]["readOnlyRootFilesystem"])
            self.assertFalse(container["securityContext"]["allowPrivilegeEscalation"])
            self.assertEqual(container["securityContext"]["capabilities"]["drop"], ["ALL"])
            self.assertIn("memory", container["resources"]["limits"])

    def test_probes_use_grpc_health_services_of_the_server(self):
        sources = server_sources() + "\n".join(p.read_text() for p in (ROOT / "server").glob("*.h"))
        for overlay in OVERLAYS:
            container = self.one(overlay, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
            services = {p: container[p]["grpc"]["service"] for p in ("startupProbe", "readinessProbe", "livenessProbe")}
            self.assertEqual(services, {"startupProbe": "liveness", "readinessProbe": "hfwa.v1", "livenessProbe": "liveness"})
            startup = container["startupProbe"]
            self.assertGreaterEqual(startup["failureThreshold"] * startup["periodSeconds"], 300)
            if "kLivenessName" in sources:
                for service in services.values():
                    self.assertIn(f'"{service}"', sources)

    def test_images_have_a_tag_that_is_not_latest(self):
        for overlay in OVERLAYS:
            image = self.one(overlay, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]["image"]
            self.assertRegex(image, r"^[\w./-]+(:(?!latest$)[\w.-]+|@sha256:[0-9a-f]{64})$")

    def test_selectors_choose_the_pod_and_do_not_change_with_the_version(self):
        for overlay in OVERLAYS:
            workload = self.one(overlay, "StatefulSet")
            labels = workload["spec"]["template"]["metadata"]["labels"]
            chosen = [workload["spec"]["selector"]["matchLabels"],
                      self.one(overlay, "Service")["spec"]["selector"],
                      self.one(overlay, "Service", "hfwa-headless")["spec"]["selector"],
                      self.one(overlay, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"]]
            if overlay != "dev":
                chosen.append(self.one(overlay, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"])
            for selector in chosen:
                self.assertEqual(set(selector), {f"app.kubernetes.io/{k}" for k in ("name", "instance", "component")})
                self.assertLessEqual(selector.items(), labels.items())
            claim = workload["spec"]["volumeClaimTemplates"][0]["metadata"]
            self.assertNotIn("app.kubernetes.io/version", claim.get("labels", {}), "claim templates are immutable")

    def test_service_monitor_finds_the_metrics_port_once(self):
        for overlay in ("cpu", "gpu"):
            monitor = self.one(overlay, "ServiceMonitor")["spec"]
            port = monitor["endpoints"][0]["port"]
            found = [d["metadata"]["name"] for d in self.overlays[overlay] if d["kind"] == "Service"
                     and monitor["selector"]["matchLabels"].items() <= d["metadata"]["labels"].items()
                     and any(p["name"] == port for p in d["spec"]["ports"])]
            self.assertEqual(found, ["hfwa-headless"])

    def test_dashboard_config_map_has_the_sidecar_s_label(self):
        config_map = self.one("cpu", "ConfigMap", "hfwa-dashboards")
        self.assertEqual(config_map["metadata"]["labels"]["grafana_dashboard"], "1")
        self.assertIn("hfwa-overview.json", config_map["data"])

    def test_model_volume_component_applies(self):
        with tempfile.TemporaryDirectory(dir=DEPLOY / "kustomize/overlays") as folder:
            Path(folder, "kustomization.yaml").write_text(
                "resources: [../../base]\ncomponents: [../../components/model-volume]\n")
            pod = [d for d in rendered(folder) if d["kind"] == "StatefulSet"][0]["spec"]["template"]["spec"]
        self.assertIn("/models", [m["mountPath"] for m in pod["containers"][0]["volumeMounts"]])
        self.assertEqual(len(pod["volumes"]), 3)


class Dashboard(unittest.TestCase):
    def setUp(self):
        self.text = (DEPLOY / "grafana/hfwa-overview.json").read_text()
        self.board = json.loads(self.text)

    def panels(self):
        for panel in self.board["panels"]:
            yield panel
            yield from panel.get("panels", [])

    def test_has_uid_and_no_id(self):
        self.assertEqual(self.board["uid"], "hfwa-overview")
        self.assertNotIn("id", self.board)

    def test_panel_ids_are_unique(self):
        ids = [p["id"] for p in self.panels()]
        self.assertEqual(len(ids), len(set(ids)))

    def test_data_source_is_the_variable(self):
        for found in re.findall(r'"datasource": (\{[^}]*\}[^}]*\}|\{[^}]*\}|"[^"]*")', self.text):
            self.assertIn("${datasource}", found)
        for panel in self.panels():
            for part in [panel] * (panel["type"] != "row") + panel.get("targets", []):
                self.assertEqual(part["datasource"]["uid"], "${datasource}", panel["title"])

    def test_panels_do_not_overlap(self):
        taken = {}
        for panel in self.board["panels"]:
            g = panel["gridPos"]
            for cell in ((x, y) for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])):
                self.assertNotIn(cell, taken, f"{panel['title']} over {taken.get(cell)}")
                taken[cell] = panel["title"]

    def test_queries_parse_and_use_metrics_of_the_server(self):
        known = metrics()
        count = 0
        for panel in self.panels():
            for target in panel.get("targets", []):
                for name, labels in selectors(target["expr"]):
                    count += 1
                    self.assertIn(name, known, f"panel {panel['title']}")
                    self.assertLessEqual(labels, known[name] | TARGET_LABELS, f"panel {panel['title']}: {name}")
        self.assertGreater(count, 20)

    def test_every_metric_of_the_server_is_shown(self):
        shown = {name for p in self.panels() for t in p.get("targets", []) for name, _ in selectors(t["expr"])}
        unseen = {n for n in metrics() if n not in shown and not n.endswith(("_sum", "_count"))}
        self.assertEqual(unseen, {"process_virtual_memory_bytes"})


class Rules(unittest.TestCase):
    def setUp(self):
        self.groups = yaml.safe_load((DEPLOY / "prometheus/hfwa-rules.yaml").read_text())["groups"]
        self.rules = [r for g in self.groups for r in g["rules"]]

    def promtool(self, *arguments):
        tool = Path(os.environ.get("HFWA_CACHE", ""), "promtool")
        if not os.access(tool, os.X_OK):
            self.skipTest("no promtool; scripts/setup test fetches it")
        run = subprocess.run([tool, *arguments], cwd=DEPLOY / "prometheus", stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
        self.assertEqual(run.returncode, 0, f"promtool {' '.join(arguments)}\n{run.stdout}")

    def test_promtool_accepts_the_rules(self):
        self.promtool("check", "rules", "hfwa-rules.yaml")

    def test_alerts_fire_and_stay_silent_as_they_should(self):
        self.promtool("test", "rules", "hfwa-rules-test.yaml")

    def test_every_alert_has_a_unit_test_that_fires(self):
        tests = yaml.safe_load((DEPLOY / "prometheus/hfwa-rules-test.yaml").read_text())["tests"]
        fired = {a["alertname"] for t in tests for a in t["alert_rule_test"] if a["exp_alerts"]}
        self.assertEqual(fired, {r["alert"] for r in self.rules if "alert" in r})

    def test_rules_use_metrics_of_the_server(self):
        known = metrics()
        recorded = {r["record"] for r in self.rules if "record" in r}
        for rule in self.rules:
            for name, labels in selectors(rule["expr"]):
                if name in recorded or FOREIGN.match(name):
                    continue
                self.assertIn(name, known, rule)
                self.assertLessEqual(labels, known[name] | TARGET_LABELS, rule)

    def test_every_alert_has_a_section_in_the_runbook(self):
        text = (ROOT / "docs/operations.md").read_text()
        anchors = {re.sub(r"[^\w -]", "", line.lstrip("# ")).strip().lower().replace(" ", "-")
                   for line in text.splitlines() if line.startswith("#")}
        for rule in self.rules:
            if "alert" in rule:
                page, anchor = rule["annotations"]["runbook_url"].split("#")
                self.assertEqual(page, "docs/operations.md")
                self.assertIn(anchor, anchors, rule["alert"])

    def test_operator_s_rule_is_made_from_the_rules(self):
        self.assertEqual(RULE.read_text(), make_rule(), "run tests/deploy/deploy_test.py --write-rule")


class Metrics(unittest.TestCase):
    def test_list_is_what_the_server_exports(self):
        sources = server_sources()
        if "hfwa_requests_total" not in sources:
            self.skipTest("the server's metrics are not there")
        exported = set(re.findall(r'"((?:hfwa|process)_[a-z_]+)"', sources))
        listed = {l.split()[0] for l in (DEPLOY / "metrics.txt").read_text().splitlines() if l and l[0] != "#"}
        self.assertEqual(exported, listed)


class Dependencies(unittest.TestCase):
    def test_every_package_has_a_line(self):
        text = (ROOT / "docs/dependencies.md").read_text()
        known = set(re.findall(r"[\w.+-]+", text))
        # Part of a package that has a line.
        implied = {"protobuf-compiler-grpc"}
        for name in ("apt-build.txt", "apt-test.txt"):
            lines = (ROOT / "scripts/lib" / name).read_text().splitlines()
            wanted = {w for line in lines if not line.startswith("#") for w in line.split()}
            self.assertEqual(wanted - known - implied, set(), f"scripts/lib/{name}: say in docs/dependencies.md why")

    def test_every_development_library_has_its_run_time_library_in_the_image(self):
        runtime = (ROOT / "docker/runtime-packages.txt").read_text().split()
        self.assertEqual(runtime, sorted(runtime))
        for stem in ("libgrpc++", "libprometheus-cpp", "libsqlite3", "libopencv-imgproc", "libjpeg", "libpng", "libssl",
                     "libtiff", "libwebp", "libxxhash"):
            self.assertTrue(any(r.startswith(stem) for r in runtime), stem)


class Parser(unittest.TestCase):
    def test_selectors_are_found(self):
        found = list(selectors('sum by (le) (rate(a_total{job=~"$job",code!="OK"}[5m])) / on (x) b or vector(0)'))
        self.assertEqual(found, [("a_total", {"job", "code"}), ("b", set())])

    def test_bad_query_is_refused(self):
        with self.assertRaises(Exception):
            list(selectors("sum(rate(a_total[5m])"))


if __name__ == "__main__":
    if sys.argv[1:] == ["--write-rule"]:
        RULE.write_text(make_rule())
    else:
        unittest.main()
