"""A step runs again only when something its result depends on has changed, and says what."""

import json
import os

import pytest

from pipelines.executor.digests import FileDigests
from pipelines.executor.job import Image
from tests.pipelines.executor.conftest import properties


def images(digest):
    return lambda *_: Image(("python3",), digest)


def statuses(result):
    return {name: step.reused for name, step in result.steps.items()}


@pytest.fixture
def chain(kit):
    """Two cached steps, the second reading the first: `chain(text, limit)` makes them."""

    def make(text="hello", limit="0.1", env=None):
        read = kit.processing(
            "B",
            "",
            inputs={"tiles": kit.output_of("A")},
            outputs=(),
            arguments=["--max-fpr", limit],
            cache=True,
            env=env,
        )
        return kit.writes("A", text, cache=True), read

    return make


def test_a_second_run_reuses_everything_and_tells_from_where(kit, chain):
    """Execution ids in URIs do not matter: inputs are compared by content."""
    first = kit.run(*chain())
    assert kit.reasons() == {"A": "no earlier run", "B": "no earlier run"}
    second = kit.run(*chain())
    assert statuses(second) == {"A": True, "B": True}
    reused = kit.told("StepReused")
    assert [event.execution_id_of_origin for event in reused] == [first.execution_id] * 2
    assert properties(second, "A") == properties(first, "A")
    assert json.loads((second.run_dir / "steps" / "A" / "result.json").read_text())["reused"] is True


def test_a_changed_argument_is_named_with_both_values(kit, chain):
    kit.run(*chain())
    assert statuses(kit.run(*chain(limit="0.05"))) == {"A": True, "B": False}
    assert kit.reasons()["B"] == "argument --max-fpr: 0.1 -> 0.05"


def test_a_changed_input_is_named_and_an_equal_one_is_not_a_change(kit, chain):
    """A runs again and writes the same bytes: B does not care. Other bytes: B says which input."""
    kit.run(*chain())
    kit.run(*chain(text="other"))
    assert kit.reasons()["B"] == "input 'tiles' changed"
    same = kit.processing(
        "A",
        "import sys; open(sys.argv[1] + '/file.txt', 'w').write('hello')",
        cache=True,
        arguments=["/opt/ml/processing/output/out"],
    )
    assert statuses(kit.run(same, chain()[1])) == {"A": False, "B": True}


def test_changed_code_of_the_image_is_named(kit, chain):
    kit.run(*chain(), images=images("one"))
    kit.run(*chain(), images=images("two"))
    assert kit.reasons() == {"A": "code of the image changed", "B": "code of the image changed"}


def test_several_differences_are_named_up_to_three(kit, chain):
    kit.run(*chain(env={"A": "1", "B": "1", "C": "1", "D": "1"}))
    kit.run(*chain(limit="0.2", env={"A": "2", "B": "2", "C": "2"}))
    assert kit.reasons()["B"] == (
        "argument --max-fpr: 0.1 -> 0.2; environment A: 1 -> 2; environment B: 1 -> 2; and 2 more"
    )


def test_a_missing_or_changed_output_is_made_again(kit, chain):
    first = kit.run(*chain())
    output = kit.store.path(properties(first, "A", "ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri"))
    (output / "file.txt").unlink()
    kit.run(*chain())
    assert kit.reasons() == {"A": "its output 'out' is missing or changed"}


def test_a_step_without_caching_always_runs(kit):
    kit.run(kit.writes("A"))
    kit.run(kit.writes("A"))
    assert kit.reasons() == {"A": "caching is off for this step"}


def test_a_failed_step_is_not_remembered(kit):
    step = kit.processing("A", "raise SystemExit(1)", outputs=(), cache=True)
    kit.run(step)
    kit.run(step)
    assert kit.reasons() == {"A": "no earlier run"}


def test_an_expired_result_is_not_used(kit):
    """ExpireAfter is honoured."""
    step = kit.writes("A", cache=True)
    step["CacheConfig"]["ExpireAfter"] = "PT1H"
    kit.run(step)
    (record,) = (kit.home / "cache" / "foreign" / "A").glob("*.json")
    document = json.loads(record.read_text())
    record.write_text(json.dumps({**document, "created": document["created"] - 3601}))
    kit.run(step)
    assert "has expired" in kit.reasons()["A"]


def test_pipelines_of_other_names_do_not_share(kit, chain):
    kit.run(*chain())
    assert statuses(kit.run(*chain(), name="another")) == {"A": False, "B": False}


def test_resources_are_no_part_of_it(kit, chain):
    """Instance types may differ from run to run."""
    kit.run(*chain())
    steps = chain()
    steps[0]["Arguments"]["ProcessingResources"]["ClusterConfig"]["InstanceType"] = "ml.c5.9xlarge"
    assert statuses(kit.run(*steps)) == {"A": True, "B": True}


def test_hyperparameters_and_channels_of_a_training_count(kit, trainer):
    def train(rate, content):
        kit.store.put_bytes(content, "s3://b/tiles/a.txt")
        step = kit.training("T", "", channels={"train": "s3://b/tiles"}, hyperparameters={"rate": rate}, cache=True)
        return kit.run(step, images=trainer).steps["T"].reused

    assert not train("0.1", b"1")
    assert train("0.1", b"1")
    assert not train("0.2", b"1")
    assert kit.reasons()["T"] == "hyperparameter rate: 0.1 -> 0.2"
    assert not train("0.2", b"2")
    assert kit.reasons()["T"] == "input 'train' changed"


def test_unchanged_bytes_are_read_once(tmp_path, monkeypatch):
    """Digests are remembered between processes by path, inode, size and mtime; any change is seen."""
    file = tmp_path / "a.bin"
    file.write_bytes(b"one")
    os.utime(file, (1, 1))
    (first,) = FileDigests(tmp_path / "d.sqlite").sha256([file])
    monkeypatch.setattr("hashlib.file_digest", None)
    assert FileDigests(tmp_path / "d.sqlite").sha256([file]) == [first]
    monkeypatch.undo()
    file.write_bytes(b"two")
    assert FileDigests(tmp_path / "d.sqlite").sha256([file]) != [first]


def test_a_broken_memory_of_digests_is_thrown_away(tmp_path):
    """It is only a memory: the bytes are read again."""
    (tmp_path / "d.sqlite").write_bytes(b"not a database" * 100)
    file = tmp_path / "a.bin"
    file.write_bytes(b"one")
    os.utime(file, (1, 1))
    for _ in range(2):
        assert len(FileDigests(tmp_path / "d.sqlite").sha256([file])[0]) == 64
