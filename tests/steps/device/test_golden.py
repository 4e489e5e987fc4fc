"""Golden screenshots: LiteRT answers as it must, and whatever an app does otherwise is found and named."""

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
from click.testing import CliRunner

from pipelines.cli import cli
from steps.core.common.errors import UserError
from steps.core.common.program import RejectedError
from steps.core.tiles.cutting import cut_tiles
from steps.core.tiles.decode import read_image
from steps.core.tiles.tiling import plan_tiles
from steps.device.check import check, main
from steps.device.golden import FOLDER, Golden, write_golden
from tests.steps.device.conftest import HEAD
from tests.steps.tiny import SPEC

pytestmark = pytest.mark.integration

SCREENS = (None, (97, 31), (40, 300), (200, 110))
WITHOUT_TENSORFLOW = """
import sys
sys.modules.update(dict.fromkeys(["tensorflow", "tf_keras", "keras"]))
from steps.device.check import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def made(converted, tmp_path_factory):
    bundle = tmp_path_factory.mktemp("bundle")
    shutil.copy(converted, bundle / "model.tflite")
    return bundle, write_golden(bundle, 0.5, SCREENS)


@pytest.fixture
def bundle(made, tmp_path):
    return shutil.copytree(made[0], tmp_path / "bundle")


@pytest.fixture
def answers(made):
    golden = made[1]
    kept = ("score", "pixels_sha256", "tiles", "tiles_sha256", "evidence")
    return {one.name: {name: asdict(one)[name] for name in kept} for one in golden.screenshots}


def words(bundle, tmp_path, answers=None):
    if answers is None:
        return [str(bundle), "--message", str(tmp_path / "message")]
    (tmp_path / "answers.json").write_text(json.dumps(answers))
    return [str(bundle), "--scores", str(tmp_path / "answers.json"), "--message", str(tmp_path / "message")]


def test_a_bundle_agrees_with_itself_without_tensorflow(made, tmp_path):
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, *words(made[0], tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"All {len(SCREENS)} golden screenshots are answered as they must be" in done.stdout
    assert "From tiles stored as JPEG" in done.stdout


def test_golden_screenshots_hold_what_training_would_see(made, telling):
    bundle, golden = made
    for one in golden.screenshots:
        pixels, facts = read_image(bundle / FOLDER / one.file)
        assert (one.width, one.height) == (facts.width, facts.height)
        assert one.tiles == [[t.left, t.top, t.width, t.height] for t in plan_tiles(one.width, one.height)]
        tiles = cut_tiles(pixels, SPEC)
        assert one.tiles_sha256 == [hashlib.sha256(tile.tobytes()).hexdigest() for tile in tiles]
        assert one.evidence == pytest.approx(telling.evidence(tiles), abs=1e-6)
        score = telling.score(tiles)
        assert one.score == pytest.approx(score, abs=1e-6)
        assert one.decision == (score > 0.5)
    assert len({one.decision for one in golden.screenshots}) == 2
    assert 0 < golden.stored_as_jpeg.mean <= golden.stored_as_jpeg.largest < 0.01


def test_the_same_screenshots_are_drawn_each_time(made, bundle):
    again = bundle.parent / "again"
    again.mkdir()
    shutil.copy(bundle / "model.tflite", again)
    assert write_golden(again, 0.5, SCREENS) == made[1] == Golden.read(bundle)


def test_right_answers_of_another_runtime_pass(made, answers, tmp_path, capsys):
    for one in answers.values():
        one["score"] += 0.5 * made[1].score_tolerance
    next(iter(answers.values())).pop("evidence")
    assert main(words(made[0], tmp_path, answers)) == 0
    assert "answered as they must be" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"score": 0.987654}, "score 0.987654 instead of"),
        ({"score": float("nan")}, "score nan instead of"),
        ({"pixels_sha256": "0" * 64}, "decoded to other pixels, sha256 000000000000"),
        ({"tiles": [[0, 0, 1, 1]]}, "tile boxes [[0, 0, 1, 1]] instead of"),
        ({"tiles_sha256": ["0"]}, "other pixels in the tiles [0] of"),
        ({"evidence": [1.0]}, "evidence of 1 tiles instead of"),
    ],
)
def test_what_an_app_does_otherwise_is_named(bundle, answers, capsys, change, told):
    name = sorted(answers)[2]
    answers[name] |= change
    assert main(words(bundle, bundle.parent, answers)) == 3
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith(f"{name}: ") for line in lines)
    assert any(told in line for line in lines)


def test_a_wrong_decision_is_said_to_be_one(made, answers, tmp_path, capsys):
    one = made[1].screenshots[0]
    answers[one.name]["score"] = 0.4 if one.decision else 0.6
    assert main(words(made[0], tmp_path, answers)) == 3
    wrong = "negative" if one.decision else "positive"
    assert f"{one.name}: decided {wrong}, which is wrong" in capsys.readouterr().out


def test_the_command_ends_with_3_and_names_what_differs(made, answers, tmp_path):
    name = made[1].screenshots[0].name
    answers[name]["tiles"] = []
    scores = words(made[0], tmp_path, answers)[2]
    done = CliRunner().invoke(cli, ["device", "check", str(made[0]), "--scores", scores])
    assert done.exit_code == 3
    assert f"{name}: tile boxes [] instead of" in done.stdout
    assert done.stderr == f"error: 1 difference from the {len(SCREENS)} golden screenshots of {made[0]}\n"


def test_missing_and_unknown_answers_are_differences(made, answers, tmp_path, capsys):
    name = made[1].screenshots[0].name
    answers["another"] = answers.pop(name)
    assert main(words(made[0], tmp_path, answers)) == 3
    out = capsys.readouterr().out
    assert f"{name}: no answer" in out
    assert "another: there is no such golden screenshot" in out


def test_answers_that_cannot_be_read_are_an_error_not_a_pass(made, answers, tmp_path, capsys):
    name = made[1].screenshots[0].name
    del answers[name]["pixels_sha256"]
    assert main(words(made[0], tmp_path, answers)) == 1
    assert "an object with score, pixels_sha256, tiles and tiles_sha256 is wanted" in capsys.readouterr().err
    assert main(words(made[0], tmp_path, [])) == 1


def test_another_model_than_the_golden_one_is_found(bundle, telling, capsys):
    from steps.device.flatbuffer import model_bytes, read_model
    from steps.device.metadata import finish

    path = bundle / "model.tflite"
    model = read_model(path)
    for buffer in model.buffers:
        if buffer.data is not None and len(buffer.data) == telling.weights.size * 4:
            buffer.data = np.zeros_like(buffer.data)
    path.write_bytes(model_bytes(model))
    finish(path, HEAD, SPEC)
    with pytest.raises(RejectedError):
        check(bundle)
    out = capsys.readouterr().out
    assert "model.tflite has sha256" in out
    assert "evidence up to" in out


def test_a_damaged_golden_picture_is_found(made, bundle, capsys):
    one = made[1].screenshots[1]
    path = bundle / FOLDER / one.file
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(RejectedError, match="2 differences from"):
        check(bundle)
    assert f"\n{one.name}: {one.file} is damaged" in capsys.readouterr().out


def test_a_golden_file_of_another_form_is_an_error(bundle):
    path = bundle / FOLDER / "golden.json"
    value = json.loads(path.read_text())
    path.write_text(json.dumps({**value, "version": 1}))
    with pytest.raises(UserError, match="another version"):
        check(bundle)
    del value["threshold"]
    path.write_text(json.dumps(value))
    with pytest.raises(UserError, match="is not what write_golden writes"):
        check(bundle)
