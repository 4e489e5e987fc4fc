"""The images of a deployment in their repositories: whether they are there, and of a kind that will run."""

import json
import urllib.request
from dataclasses import asdict
from typing import Any

from infra.deployment.readiness import NotReadyError
from infra.options import Images
from pipelines.aws.session import aws_errors
from pipelines.environment import Environment

# SageMaker takes no OCI manifest, Lambda no index; BuildKit makes an index of everything it attaches a provenance to.
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_PLATFORM = ("linux", "amd64")
_SECONDS = 30


def registry_of(environment: Environment) -> str:
    suffix = "amazonaws.com.cn" if environment.partition == "aws-cn" else "amazonaws.com"
    return f"{environment.account}.dkr.ecr.{environment.region}.{suffix}"


def check_images(images: Images, environment: Environment, ecr: Any) -> str:
    """Say that all images will run; raises NotReadyError for one that was not pushed, or that AWS would refuse.

    `ecr` is boto3's client. Images of other registries are left to whoever runs them.
    """
    others = 0
    for name, uri in asdict(images).items():
        place, _, digest = uri.partition("@")
        registry, _, repository = place.partition("/")
        if registry == registry_of(environment):
            _check(f"the {name} image {uri}", repository, digest, ecr)
        else:
            others += 1
    return "data, model and control, of one platform" + (f"; {others} in another registry, unseen" if others else "")


def _check(image: str, repository: str, digest: str, ecr: Any) -> None:
    which = {"repositoryName": repository, "imageIds": [{"imageDigest": digest}]}
    with aws_errors(f"look at {image}"):
        try:
            (found,) = ecr.describe_images(**which)["imageDetails"]
        except (ecr.exceptions.ImageNotFoundException, ecr.exceptions.RepositoryNotFoundException):
            raise NotReadyError(f"{image} is not there: push it first, and name the digest it got") from None
        again = "build and push it with containers/push.sh"
        kind = found.get("imageManifestMediaType")
        if kind != _MANIFEST:
            raise NotReadyError(f"{image} has a manifest of the type {kind}, which AWS refuses to run: {again}")
        (manifest,) = ecr.batch_get_image(**which, acceptedMediaTypes=[_MANIFEST])["images"]
        config = json.loads(manifest["imageManifest"])["config"]["digest"]
        url = ecr.get_download_url_for_layer(repositoryName=repository, layerDigest=config)["downloadUrl"]
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:  # noqa: S310 (signed by ECR)
            about = json.load(answer)
    except (OSError, ValueError) as error:
        raise NotReadyError(f"the configuration of {image} cannot be read: {error}; try again") from None
    platform = (about.get("os"), about.get("architecture"))
    if platform != _PLATFORM:
        raise NotReadyError(
            f"{image} is for {'/'.join(map(str, platform))}, jobs and functions run on {'/'.join(_PLATFORM)}: {again}"
        )


def named_images(environment: Environment) -> Images:
    """Return what the images will be called, before any is pushed."""
    places = (f"{registry_of(environment)}/{environment.repository(name)}" for name in ("data", "model", "control"))
    return Images(*(f"{place}@sha256:{'0' * 64}" for place in places))


def how_to_push(environment: Environment) -> str:
    """Return what to do after the repositories were made."""
    options = [f"    --{name}-image {uri[:-64]}…" for name, uri in asdict(named_images(environment)).items()]
    return (
        "The repositories are there. containers/push.sh builds the images, pushes them and tells their digests;\n"
        f"deploy again with these:\n  tilegate deploy --env {environment.name} \\\n"
    ) + " \\\n".join(options)
