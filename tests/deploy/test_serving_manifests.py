"""The image and the deployment of the server: addresses, ports, options and extras exist."""

import re
import shlex
import tomllib
from pathlib import Path

import yaml

from shared.cli import parse
from shared.runs import released_folders
from tasks.serve.__main__ import STOP_SECONDS, Arguments
from tasks.serve.app import Server, build_app
from tasks.serve.limits import Limits
from tasks.serve.models import Models

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
IMAGE = (DEPLOY / "serve.Dockerfile").read_text(encoding="utf-8")


def entry_point() -> list[str]:
    """The arguments that the image gives to `quatrain serve`."""
    (words,) = re.findall(r"^ENTRYPOINT (\[.*\])$", IMAGE, re.M)
    program, verb, *arguments = yaml.safe_load(words)
    assert (program, verb) == ("quatrain", "serve")
    return arguments


def addresses() -> set[str]:
    """The paths that a server without models answers."""
    app = build_app(Server(Models({}), [], Limits(decoders=1)))
    return {getattr(route, "path", "") for route in app.app.routes}


def test_image():
    extras = re.search(r"pip install .*-c (\S+) tensorflow-cpu -e '\.\[([\w,-]+)\]'", IMAGE)
    assert extras is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras[2].split(",")) <= project["optional-dependencies"].keys()
    assert (ROOT / extras[1]).exists()
    ignored = (DEPLOY / "serve.Dockerfile.dockerignore").read_text().splitlines()
    assert {".git", ".venv*", "datasets/prepared"} <= set(ignored)
    assert not {"saved_models", "shared", "tasks", "datasets", "docs", "quatrain.py", extras[1]} & set(ignored)
    added = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    released = {path.relative_to(ROOT).as_posix() for path in released_folders()}
    assert "saved_models/*/*" in ignored
    assert added == released
    assert re.search(r"^USER \d+:\d+$", IMAGE, re.M)
    options = parse(Arguments, entry_point(), "tasks.serve", None)
    assert f"EXPOSE {options.port}\n" in IMAGE
    assert f"http://127.0.0.1:{options.port}/healthz" in IMAGE


def test_deployment():
    service, deployment = yaml.safe_load_all((DEPLOY / "kubernetes_serving.yaml").read_text())
    assert (service["apiVersion"], service["kind"]) == ("v1", "Service")
    assert (deployment["apiVersion"], deployment["kind"]) == ("apps/v1", "Deployment")
    pod = deployment["spec"]["template"]
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
    (container,) = pod["spec"]["containers"]
    (port,) = container["ports"]
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]
    options = parse(Arguments, [*entry_point(), *container["args"]], "tasks.serve", None)
    assert options.port == port["containerPort"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert mounts[str(options.token_file.parent)] in {volume["name"] for volume in pod["spec"]["volumes"]}
    probes = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert probes == {"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/healthz"}
    assert {*probes.values(), pod["metadata"]["annotations"]["prometheus.io/path"]} <= addresses()
    wait = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["spec"]["terminationGracePeriodSeconds"] > STOP_SECONDS + wait
    user = int(re.search(r"^USER (\d+)", IMAGE, re.M)[1])
    assert pod["spec"]["securityContext"]["runAsUser"] == user
    assert shlex.join(container["args"]) == "--token-file /secrets/token"
