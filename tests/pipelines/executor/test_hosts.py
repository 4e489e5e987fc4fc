"""Jobs on several hosts: each its process and its `/opt/ml`, a share of what is shared out, one result."""

import json

import pytest

from tests.pipelines.executor.conftest import properties, trains

OUT = "/opt/ml/processing/output"
# Tells which host it is, what it got, and whom it knows.
TELL = (
    "import json, os, sys\n"
    "config = json.load(open('../config/resourceconfig.json'))\n"
    "got = sorted(f for top, _, names in os.walk('../processing/input/raw') for f in names)\n"
    "told = {'hosts': config['hosts'], 'got': got, 'whole': sorted(os.listdir('../processing/input/whole'))}\n"
    "json.dump(told, open(sys.argv[1] + '/' + config['current_host'] + '.json', 'w'))"
)


def shared_out(kit, hosts, keys, *, listed=False):
    for key in keys:
        kit.store.put_bytes(b"1", f"s3://b/raw/{key}")
    kit.store.put_bytes(b"1", "s3://b/whole/all.txt")
    kit.store.put_bytes(json.dumps([{"prefix": "s3://b/raw/"}, *reversed(keys)]).encode(), "s3://b/raw.manifest")
    inputs = {"raw": "s3://b/raw.manifest" if listed else "s3://b/raw", "whole": "s3://b/whole"}
    step = kit.processing("A", TELL, inputs=inputs, arguments=[f"{OUT}/out"])
    raw = step["Arguments"]["ProcessingInputs"][0]["S3Input"]
    raw |= {"S3DataDistributionType": "ShardedByS3Key", **({"S3DataType": "ManifestFile"} if listed else {})}
    return on(step, hosts)


def on(step, hosts):
    step["Arguments"]["ProcessingResources"]["ClusterConfig"]["InstanceCount"] = hosts
    return step


def told(kit, result):
    out = kit.store.path(f"s3://b/runs/{result.execution_id}/A/out")
    return {path.stem: json.loads(path.read_text()) for path in sorted(out.iterdir())}


@pytest.mark.parametrize("listed", [False, True])
def test_hosts_share_the_sorted_keys_and_upload_to_one_place(kit, listed):
    result = kit.run(shared_out(kit, 3, [f"{n}.txt" for n in range(7)], listed=listed))
    assert result.status == "Succeeded"
    hosts = told(kit, result)
    assert {name: host["got"] for name, host in hosts.items()} == {
        "algo-1": ["0.txt", "3.txt", "6.txt"],
        "algo-2": ["1.txt", "4.txt"],
        "algo-3": ["2.txt", "5.txt"],
    }
    assert all(host["hosts"] == ["algo-1", "algo-2", "algo-3"] for host in hosts.values())
    assert all(host["whole"] == ["all.txt"] for host in hosts.values())


def test_a_host_may_get_nothing(kit):
    hosts = told(kit, kit.run(shared_out(kit, 3, ["0.txt"])))
    assert [host["got"] for host in hosts.values()] == [["0.txt"], [], []]


def test_hosts_do_not_need_more_slots_than_there_are(kit):
    result = kit.run(shared_out(kit, 3, ["0.txt"]), max_parallel=1)
    assert result.status == "Succeeded"


def test_a_host_that_fails_ends_the_others_and_is_named(kit):
    code = (
        "import json, sys, time\n"
        "host = json.load(open('../config/resourceconfig.json'))['current_host']\n"
        "sys.exit('no more room') if host == 'algo-2' else time.sleep(300)"
    )
    result = kit.run(on(kit.processing("A", code), 3))
    assert result.status == "Failed"
    assert result.reason == "host algo-2: exit code 1: no more room"


def test_the_number_of_hosts_is_part_of_what_is_cached(kit):
    one, three = kit.writes("A", cache=True), on(kit.writes("A", cache=True), 3)
    kit.run(one)
    kit.run(three)
    assert not kit.told("StepReused")
    kit.run(three)
    assert kit.told("StepReused")


def test_hosts_of_a_training_know_each_others_addresses_and_the_first_ones_metrics_count(kit):
    code = (
        "import json, os, socket\n"
        "config = json.load(open('../input/config/resourceconfig.json'))\n"
        "me, hosts = config['current_host'], config['hosts']\n"
        "number = hosts.index(me)\n"
        "server = socket.create_server(('127.0.0.1', int(me.partition(':')[2])))\n"
        "print(f'score={number};')\n"
        "open(f'../model/{number}', 'w').write(me)"
    )
    step = kit.training("A", code, metrics=["score"])
    step["Arguments"]["ResourceConfig"]["InstanceCount"] = 2
    result = kit.run(step, images=trains)
    assert result.status == "Succeeded"
    assert properties(result, "A")["FinalMetricDataList"] == [{"MetricName": "score", "Value": 0.0}]


# Fails at its first attempt, after it has put something aside for the next one.
TRIES = (
    "import os, sys\n"
    "seen = sorted(os.listdir('../checkpoints'))\n"
    "open(f'../checkpoints/{len(seen)}', 'w').write('x')\n"
    "open('../model/seen', 'w').write(str(seen))\n"
    "print(f'score={len(seen)};')\n"
    "sys.exit(0 if len(seen) > 1 else 'not yet')"
)


def checkpointed(kit, code):
    step = kit.training("A", code, metrics=["score"])
    step["Arguments"]["CheckpointConfig"] = {"S3Uri": "s3://b/checkpoints"}
    return step


def test_a_training_that_is_tried_again_finds_its_checkpoints(kit):
    step = checkpointed(kit, TRIES)
    failed = kit.run(step, images=trains)
    assert failed.status == "Failed"
    again = kit.executor(step, images=trains, resume=failed.execution_id).run()
    assert again.status == "Failed"
    done = kit.executor(step, images=trains, resume=failed.execution_id).run()
    assert done.status == "Succeeded"
    assert properties(done, "A")["FinalMetricDataList"] == [{"MetricName": "score", "Value": 2.0}]
    assert not (done.run_dir / "steps/A/opt/ml/checkpoints").exists()


def test_another_execution_does_not_find_them(kit):
    step = checkpointed(kit, TRIES)
    assert kit.run(step, images=trains).status == "Failed"
    assert kit.run(step, images=trains).reason == "exit code 1: not yet"
