"""What the images hold, and what they leave out."""

import json
import re

import pytest

from pipelines.definition.step_table import DATA_IMAGE, MODEL_IMAGE, programs

pytestmark = pytest.mark.containers

PROGRAMS = {image: programs(image=image) for image in (DATA_IMAGE, MODEL_IMAGE)}
# SageMaker's own TensorFlow images bring pip and boto3, for their toolkit.
OF_BASE = {"model": {"pip", "boto3"}}
LOOK = """
import importlib.metadata, importlib.util, json, os, pathlib, re, shutil, sys, sysconfig
code = pathlib.Path("/opt/program")
modules = ("pip", "uv", "boto3", "tensorflow", "sagemaker", "mlflow", "awslambdaric")
private = (".aws", ".git", ".netrc", ".pypirc", ".docker", ".env", "uv.lock")
compiled = f"{sys.implementation.cache_tag}.pyc"
told = json.loads(pathlib.Path("/opt/tilegate/sbom.cdx.json").read_text())["components"]
there = importlib.metadata.distributions(path=[sysconfig.get_path("purelib")])
print(json.dumps({
    "untold": sorted({re.sub("[-_.]+", "-", one.name).lower() for one in there} - {one["name"] for one in told}),
    "modules": [name for name in modules if importlib.util.find_spec(name)],
    "programs": [name for name in ("gcc", "cc", "make", "uv", "pip", "git") if shutil.which(name)],
    "code": sorted(path.name for path in code.iterdir()),
    "uncompiled": [str(path) for path in code.rglob("*.py")
                   if not (path.parent / "__pycache__" / f"{path.stem}.{compiled}").exists()],
    "writable": [folder for folder in [*sys.path, str(code)] if os.access(folder, os.W_OK)],
    "private": [str(path) for top in ("/root", "/home", "/opt")
                for path in pathlib.Path(top).rglob("*") if path.name in private],
}))
"""


@pytest.fixture(params=["data", "model", "control"])
def image(request):
    return request.param, request.getfixturevalue(f"{request.param}_image")


def looked_at(docker, tag, user="1000:1000"):
    done = docker.run(tag, "-c", LOOK, options=("--entrypoint", "python3"), user=user)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_image_holds_its_code_compiled_and_nothing_to_install_or_build_with(docker, image):
    name, tag = image
    seen = looked_at(docker, tag)
    assert looked_at(docker, tag, user="0:0")["private"] == []
    assert seen["code"] == {"control": ["infra", "pipelines", "steps"]}.get(name, ["steps"])
    assert seen["uncompiled"] == []
    assert seen["untold"] == []
    assert set(seen["programs"]) | ({"pip"} & set(seen["modules"])) <= OF_BASE.get(name, set())
    assert seen["writable"] == []


@pytest.mark.parametrize(
    ("name", "wanted"), [("data", set()), ("model", {"tensorflow"}), ("control", {"boto3", "awslambdaric", "mlflow"})]
)
def test_an_image_has_the_libraries_of_its_duty_alone(docker, request, name, wanted):
    seen = set(looked_at(docker, request.getfixturevalue(f"{name}_image"))["modules"])
    assert seen - OF_BASE.get(name, set()) == wanted


def test_the_configuration_of_an_image_tells_no_secret(docker, image):
    (told,) = json.loads(docker("image", "inspect", image[1]).stdout)
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image[1]).stdout
    assert not re.search(r"(?i)(secret|token|password|aws_access|api_?key)", json.dumps(told["Config"]) + history)


@pytest.mark.parametrize(
    ("name", "program"),
    [
        *((name, program) for name, programs in PROGRAMS.items() for program in programs),
        *(("other_model", program) for program in PROGRAMS[MODEL_IMAGE]),
    ],
)
def test_every_step_program_starts_in_its_image_as_any_user(docker, request, name, program):
    tag = request.getfixturevalue(f"{name}_image")
    done = docker.run(tag, "-m", f"steps.{program}", "--help", options=("--entrypoint", "python3"), user="4321:4321")
    assert done.returncode == 0, done.stderr
    assert "--message" in done.stdout


def test_what_the_base_adds_for_cuda_reaches_python(docker, model_image):
    told = docker.run(
        model_image, "-c", "import os; print(os.environ['LD_LIBRARY_PATH'])", options=("--entrypoint", "python3")
    )
    assert told.stdout.startswith("/usr/local/cuda/compat:"), told.stderr


def test_a_processing_job_that_fails_leaves_its_reason_where_the_service_looks(docker, data_image, tmp_path):
    tmp_path.chmod(0o777)
    words = ("-m", "steps.validate", "--plan", "/opt/ml/processing/input/plan", "--message", "/opt/ml/output/message")
    mounted = ("--volume", f"{tmp_path}:/opt/ml", "--entrypoint", "python3")
    done = docker.run(data_image, *words, options=mounted)
    assert done.returncode == 1, done.stderr
    said = (tmp_path / "output/message").read_text()
    assert 0 < len(said) <= 1024
    assert said in done.stderr
    assert "Traceback" not in done.stderr
