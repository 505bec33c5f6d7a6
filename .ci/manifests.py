"""What every rendered deployment must and must not have. Called by .ci/manifests with the folder of what was rendered
and the program that checks configurations. Leaves the alerts' groups there as rules.yaml."""

import json
import pathlib
import re
import subprocess
import sys

import kubernetes_validate
import yaml

# The oldest that the chart names, and the newest that the package knows.
VERSIONS = ["1.27", kubernetes_validate.latest_version()]
# No part of Kubernetes; their schemas come with the Prometheus operator. Checked here by what they refer to.
FOREIGN = {"ServiceMonitor", "PrometheusRule"}
# Every right there may ever be: group, resource, names, verbs.
RIGHTS = {
    ("prow.k8s.io", "prowjobs", ()): {"get", "list", "watch", "patch"},
    ("", "configmaps", ("artifact-repositories",)): {"get"},
}
ROOT = pathlib.Path(__file__).resolve().parent.parent
problems = []


def check(holds, where, what):
    if not holds:
        problems.append(f"{where}: {what}")


def matches(selector, labels):
    return all(labels.get(key) == value for key, value in selector.items())


class Deployment:
    """What one overlay, or the chart with one file of values, makes."""

    def __init__(self, path):
        self.name = path.stem
        self.objects = [each for each in yaml.safe_load_all(path.read_text()) if each]

    def of(self, *kinds):
        return [each for each in self.objects if each["kind"] in kinds]

    def workload(self):
        found = self.of("StatefulSet", "Deployment")
        check(len(found) == 1, self.name, f"{len(found)} workloads instead of one")
        return found[0]

    def labels(self):
        return self.workload()["spec"]["template"]["metadata"]["labels"]

    def check(self):
        self.check_schemas()
        self.check_pods()
        self.check_replicas()
        self.check_rights()
        self.check_selectors()
        self.check_network()
        check(not self.of("Secret"), self.name, "makes a Secret: secrets are the user's")

    def check_schemas(self):
        for each in self.objects:
            where = f"{self.name}: {each['kind']} {each['metadata']['name']}"
            if each["kind"] in FOREIGN:
                continue
            for version in VERSIONS:
                try:
                    kubernetes_validate.validate(each, version, strict=True)
                except kubernetes_validate.ValidationError as error:
                    problems.append(f"{where}: Kubernetes {version}: {error.message} at {list(error.path)}")

    def pods(self):
        for each in self.of("StatefulSet", "Deployment"):
            yield each["kind"], each["spec"]["template"]["spec"], True
        for each in self.of("Pod"):
            yield "Pod", each["spec"], False

    def check_pods(self):
        for kind, pod, is_daemon in self.pods():
            where = f"{self.name}: {kind}"
            context = pod.get("securityContext", {})
            check(context.get("runAsNonRoot") is True and context.get("runAsUser", 0) > 0, where, "may run as root")
            check(context.get("seccompProfile", {}).get("type") == "RuntimeDefault", where, "no seccomp profile")
            check(pod.get("enableServiceLinks") is False, where, "variables of every Service")
            for container in pod["containers"]:
                self.check_container(f"{where}: {container['name']}", container, is_daemon)

    def check_container(self, where, container, is_daemon):
        context = container.get("securityContext", {})
        check(context.get("readOnlyRootFilesystem") is True, where, "its root can be written")
        check(context.get("allowPrivilegeEscalation") is False, where, "may gain rights")
        check(context.get("capabilities", {}).get("drop") == ["ALL"], where, "keeps capabilities")
        resources = container.get("resources", {})
        check({"cpu", "memory"} <= set(resources.get("requests", {})), where, "asks for no CPU or memory")
        check("memory" in resources.get("limits", {}), where, "has no limit of memory")
        image = container["image"]
        check("@sha256:" in image or re.search(r":[^/:]+$", image), where, f"image without a tag: {image}")
        check(not image.endswith(":latest"), where, f"image {image}")
        if is_daemon and container["name"] == "prow-notifier":
            for probe in ["startupProbe", "livenessProbe", "readinessProbe"]:
                check(probe in container, where, f"no {probe}")
        for mount in container.get("volumeMounts", []):
            check("subPath" not in mount, where, f"{mount['mountPath']} would never change: subPath")
        for variable in container.get("env", []):
            check("secretKeyRef" not in variable.get("valueFrom", {}), where, f"secret in variable {variable['name']}")

    def check_replicas(self):
        spec = self.workload()["spec"]
        several = spec["replicas"] > 1
        spreads = spec["template"]["spec"].get("topologySpreadConstraints", [])
        check(not several or spreads, self.name, "several replicas that may all be on one node")
        for each in spreads:
            check(matches(each["labelSelector"]["matchLabels"], self.labels()), self.name, "spreads other pods")
        budgets = self.of("PodDisruptionBudget")
        check(bool(budgets) == several, self.name, f"{spec['replicas']} replicas, {len(budgets)} disruption budgets")
        for each in budgets:
            check(matches(each["spec"]["selector"]["matchLabels"], self.labels()), self.name, "budget of other pods")
        if several:
            check("volumeClaimTemplates" not in spec, self.name, "replicas with volumes")

    def check_rights(self):
        pod = self.workload()["spec"]["template"]["spec"]
        account = pod["serviceAccountName"]
        roles = {(each["metadata"]["namespace"], each["metadata"]["name"]): each for each in self.of("Role")}
        token = pod.get("automountServiceAccountToken")
        check(token is bool(roles), self.name, f"token mounted: {token}, with {len(roles)} roles")
        check(not self.of("ClusterRole", "ClusterRoleBinding"), self.name, "rights in the whole cluster")
        for each in self.of("ServiceAccount"):
            check(each.get("automountServiceAccountToken") is False, self.name, "the account gives a token to all")
        for (_, name), role in roles.items():
            for rule in role["rules"]:
                names = tuple(rule.get("resourceNames", []))
                for group in rule["apiGroups"]:
                    for resource in rule["resources"]:
                        allowed = RIGHTS.get((group, resource, names), set())
                        more = set(rule["verbs"]) - allowed
                        check(not more, self.name, f"role {name}: {sorted(more)} on {group}/{resource} {names}")
        bound = set()
        for each in self.of("RoleBinding"):
            bound.add((each["metadata"]["namespace"], each["roleRef"]["name"]))
            names = [subject["name"] for subject in each["subjects"]]
            check(names == [account], self.name, f"binding {each['metadata']['name']} is for {names}")
        check(bound == set(roles), self.name, f"roles {sorted(roles)} but bound are {sorted(bound)}")

    def check_selectors(self):
        services = self.of("Service")
        for each in services:
            check(matches(each["spec"]["selector"], self.labels()), self.name, "the Service selects other pods")
        for each in self.of("ServiceMonitor"):
            selector = each["spec"]["selector"]["matchLabels"]
            chosen = [one for one in services if matches(selector, one["metadata"]["labels"])]
            check(chosen, self.name, "the ServiceMonitor selects no Service")
            ports = {port["name"] for one in chosen for port in one["spec"]["ports"]}
            for endpoint in each["spec"]["endpoints"]:
                check(endpoint["port"] in ports, self.name, f"no port {endpoint['port']} to scrape")

    def check_network(self):
        policies = self.of("NetworkPolicy")
        if self.name not in WITH_POLICY:
            check(not policies, self.name, "policies that nobody asked for")
            return
        types = set()
        ports = set()
        for each in policies:
            spec = each["spec"]
            check(matches(spec["podSelector"]["matchLabels"], self.labels()), self.name, "a policy for other pods")
            types |= set(spec["policyTypes"])
            for rule in spec.get("egress", []):
                check(rule.get("ports"), self.name, "a policy opens all ports to the outside")
                ports |= {port["port"] for port in rule.get("ports", [])}
            for rule in spec.get("ingress", []):
                check(rule.get("from") and rule.get("ports"), self.name, "a policy lets everybody in")
        check(types == {"Ingress", "Egress"}, self.name, f"closed are only {sorted(types)}")
        check({53, 443} <= ports, self.name, f"no names or no Slack through {sorted(map(str, ports))}")


WITH_POLICY = {"kustomize-network-policy", "kustomize-everything", "chart-postgres", "chart-own", "chart-watch", "chart-e2e"}


def check_alerts(deployments, out):
    """Alerts lead to sections of the runbook, each to its own, and are the same from overlay and chart."""
    found = {}
    for each in deployments:
        for rule in each.of("PrometheusRule"):
            found[each.name] = rule["spec"]
    specs = list(found.values())
    check(specs and all(spec == specs[0] for spec in specs), "alerts", f"differ or are missing: {sorted(found)}")
    (out / "rules.yaml").write_text(yaml.safe_dump(specs[0]))
    headings = re.findall(r"^## (.+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    alerts = [rule for group in specs[0]["groups"] for rule in group["rules"]]
    check([rule["alert"] for rule in alerts] == headings, "docs/runbook.md", "sections are not those of the alerts, in order")
    for rule in alerts:
        notes = rule["annotations"]
        check(set(notes) == {"summary", "description", "runbook_url"}, rule["alert"], f"annotations {sorted(notes)}")
        check(notes["runbook_url"].endswith(f"/docs/runbook.md#{rule['alert'].lower()}"), rule["alert"], "leads elsewhere")
        check(rule["labels"]["severity"] in {"critical", "warning"}, rule["alert"], "has no severity")


def check_versions():
    """Everything that names the version names that of the program."""
    version = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE).group(1)
    chart = yaml.safe_load((ROOT / "deploy/chart/prow-notifier/Chart.yaml").read_text())
    check((chart["version"], chart["appVersion"]) == (version, version), "Chart.yaml", f"is not of version {version}")
    for path in ["deploy/base", "deploy/components/postgres"]:
        tags = [image["newTag"] for image in yaml.safe_load((ROOT / path / "kustomization.yaml").read_text())["images"]]
        check(tags == [version], path, f"image {tags} is not of version {version}")


def check_dashboard(deployments):
    """The dashboard is what Grafana takes: panels with titles and queries, side by side and not over each other."""
    texts = [
        each["data"]["prow-notifier.json"].strip()
        for deployment in deployments
        for each in deployment.of("ConfigMap")
        if each["metadata"]["labels"].get("grafana_dashboard") == "1"
    ]
    check(texts and all(text == texts[0] for text in texts), "dashboard", "differs or is missing")
    board = json.loads(texts[0])
    numbers = [panel["id"] for panel in board["panels"]]
    check(len(numbers) == len(set(numbers)), "dashboard", "two panels of one number")
    taken = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        check(not cells & taken and at["x"] + at["w"] <= 24, "dashboard", f"{panel['title']} lies over another")
        taken |= cells
        if panel["type"] != "row":
            check(panel.get("description") and panel["targets"], "dashboard", f"{panel['title']} shows or says nothing")
            check(all(one["expr"] for one in panel["targets"]), "dashboard", f"{panel['title']} asks nothing")


def config_of(deployment, folder):
    """The configuration as the pod finds it: paths of --config in their order, secrets with something in them."""
    pod = deployment.workload()["spec"]["template"]["spec"]
    container = next(one for one in pod["containers"] if one["name"] == "prow-notifier")
    maps = {each["metadata"]["name"]: each["data"] for each in deployment.of("ConfigMap")}
    volume = next(one for one in pod["volumes"] if one["name"] == "config")
    sources = volume.get("projected", {}).get("sources") or [{"configMap": volume["configMap"]}]
    (folder / "etc").mkdir(parents=True)
    (folder / "secrets/slack").mkdir(parents=True)
    (folder / "secrets/postgres").mkdir()
    for file, text in [
        ("slack-platform", "https://hooks.slack.com/services/T0/B0/x"),
        ("hmac", "token"),
        ("postgres/password", "secret"),
    ]:
        (folder / "secrets" / file).write_text(text)
    for source in sources:
        data = maps.get(source["configMap"]["name"])
        if data is None:
            return None
        for name, text in data.items():
            (folder / "etc" / name).write_text(text.replace("/etc/prow-notifier/secrets", str(folder / "secrets")))
    places = {"/etc/prow-notifier": str(folder / "etc"), "/usr/share/prow-notifier": str(ROOT / "config")}
    args = [arg for arg in container["args"] if arg != "serve"]
    for inside, outside in places.items():
        args = [outside + arg.removeprefix(inside) if arg.startswith(inside) else arg for arg in args]
    return args


def check_configurations(deployments, out, binary):
    checked = 0
    for each in deployments:
        args = config_of(each, out / "config" / each.name)
        if args is None:
            continue
        ran = subprocess.run([binary, *args, "check"], capture_output=True, text=True, check=False)
        said = (ran.stdout + ran.stderr).strip()
        check(ran.returncode == 0, each.name, f"the daemon refuses its configuration:\n{said}")
        checked += 1
    return checked


def main():
    out, binary = pathlib.Path(sys.argv[1]), sys.argv[2]
    deployments = [Deployment(path) for path in sorted(out.glob("*-*.yaml"))]
    for each in deployments:
        each.check()
    check_alerts(deployments, out)
    check_dashboard(deployments)
    check_versions()
    checked = check_configurations(deployments, out, binary)
    for each in problems:
        print(each, file=sys.stderr)
    if problems:
        sys.exit(f"{len(problems)} problems in {len(deployments)} deployments")
    objects = sum(len(each.objects) for each in deployments)
    print(f"{len(deployments)} deployments of {objects} objects are as they must be; {checked} configurations pass")


if __name__ == "__main__":
    main()
