"""The cluster page's commands and the Kubernetes file say what there is."""

import re

import yaml
from ensemble_portraits.ensemble.cluster import cli, join

from dev.cache import ROOT

PAGE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")


def test_every_option_is_in_the_page_and_no_other():
    named = set(
        re.findall(r"(?<![\w-])--[a-z][a-z-]*", PAGE.replace("-- --lowvram --base-directory", ""))
    )
    known = {
        option
        for parser in (cli.parser(), *join.parser()._subparsers._group_actions[0].choices.values())
        for option in parser._option_string_actions
        if option.startswith("--")
    }
    assert named == known - {"--help"}


def test_the_kubernetes_file_is_a_ray_job():
    """The fields of ray.io/v1 RayJob that a cluster needs; a token, and no port beyond the cluster."""
    job = yaml.safe_load((ROOT / "docs" / "cluster" / "kuberay.yaml").read_text(encoding="utf-8"))
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        container = group["template"]["spec"]["containers"][0]
        settings = {each["name"]: each for each in container["env"]}
        assert settings["RAY_AUTH_MODE"]["value"] == "token"
        assert settings["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]
        names = {each["name"] for each in group["template"]["spec"].get("volumes", ())}
        assert {mount["name"] for mount in container["volumeMounts"]} <= names
        assert isinstance(group["rayStartParams"], dict)
    assert (
        cluster["workerGroupSpecs"][0]["minReplicas"] <= cluster["workerGroupSpecs"][0]["replicas"]
    )
    words = job["spec"]["entrypoint"].split()
    at = words.index("/comfyui/custom_nodes/ensemble-portraits/farm")
    cli.parser().parse_args(words[at + 1 :])
