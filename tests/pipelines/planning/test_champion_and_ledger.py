"""What a candidate is judged against: the approved champion and the ledger of looks, the same for a repeated run."""

import gzip
import io
import json
import tarfile

import pytest

from pipelines.code_digest import program_digest
from pipelines.definition.settings import Settings
from pipelines.executor.store import LocalStore
from pipelines.planning.baselines import champion_uri, ledger_uri
from pipelines.planning.seed import seed
from pipelines.registry.mlflow_registry import MlflowRegistry
from pipelines.registry.protocol import RegistryError
from pipelines.runs.local_history import runs_here
from pipelines.runs.local_start import LocalStart, identity_of
from steps.core.common.errors import UserError
from steps.core.gate.test_set_ledger import Consultation, read_ledger

SETTINGS = Settings()
DATA = "s3://tilegate-local/datasets/one"


class Home:
    def __init__(self, root, leave_run):
        self.root, self.store = root, LocalStore(root / "store")
        self.registry = MlflowRegistry(root)
        self._leave, self._number = leave_run, 0

    def run(self, identity="a", *, champion="s3://tilegate-local/champions/none", looks=(), rejected=()):
        """Leave a run behind that was asked for `identity` and left looks in the ledger."""
        self._number += 1
        for step, entries in (("EvaluateModel", looks), ("ConvertToTFLite", rejected)):
            for entry in entries:
                entry.write(self.store.path(SETTINGS.uri("ledger", step)))
        uri, keys = SETTINGS.uri("ledger", "EvaluateModel"), [f"{entry.name}.json" for entry in looks]
        output = {"new-ledger": {"uri": uri, "digest": "d", "keys": keys}}
        parameters = {"ChampionUri": champion, "LedgerUri": SETTINGS.uri("ledgers", identity, "0" * 32)}
        results = {"EvaluateModel": {"status": "Succeeded", "outputs": output}}
        folder = self._leave(self.root, self._number, parameters, **results)
        for entry in rejected:
            entry.write(folder / "steps/ConvertToTFLite/opt/ml/processing/output/new-ledger")
        return folder

    def ledger(self, identity="a"):
        uri = ledger_uri(LocalStart(self.root, SETTINGS).artifacts, runs_here(self.root), identity)
        return uri, read_ledger(self.store.path(uri))

    def champion(self, identity="a"):
        group, artifacts = SETTINGS.model_package_group, LocalStart(self.root, SETTINGS).artifacts
        return champion_uri(artifacts, self.registry, group, runs_here(self.root), identity)

    def approve(self, execution, text="weights"):
        archive = self.root / f"{text}.tar.gz"
        with gzip.GzipFile(archive, "wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
            member = tarfile.TarInfo("model.tflite")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
        request = {
            "ModelPackageGroupName": SETTINGS.model_package_group,
            "CustomerMetadataProperties": {"execution": execution},
        }
        version = self.registry.register(request, archive)
        return self.registry.approve(version.group, version.version, by="Ada", reason="looked at it")


def look(model, moment="2026-01-01T00:00:00Z"):
    return Consultation.of(
        ["x", "y"], negatives=1, groups=2, model=model * 64, limits={"max_fpr": 0.01}, passed=True, moment=moment
    )


@pytest.fixture
def home(empty_home, leave_run):
    return Home(empty_home, leave_run)


def test_a_run_is_what_it_is_asked_for_and_the_code_that_answers(monkeypatch):
    asked = {"DatasetUri": DATA, "MaxFpr": 0.01, "PlanUri": "p", "ChampionUri": "c", "LedgerUri": "l"}
    same = {**asked, "PlanUri": "other", "ChampionUri": "other", "LedgerUri": "other"}
    assert identity_of(dict(reversed(same.items()))) == identity_of(asked)
    assert identity_of({**asked, "MaxFpr": 0.02}) != identity_of(asked)
    before = identity_of(asked)
    monkeypatch.setattr("pipelines.runs.local_start.program_digest", lambda name: program_digest(name) + "changed")
    assert identity_of(asked) != before


def test_without_an_approved_model_there_is_a_folder_that_says_so(home):
    uri = home.champion()
    assert uri == SETTINGS.uri("champions", "none")
    seed(LocalStart(home.root, SETTINGS).artifacts)
    assert json.loads((home.store.path(uri) / "champion.json").read_text()) == {"champion": None}


def test_the_approved_champion_is_in_the_store_under_its_digest(home):
    version = home.approve("some-run")
    uri = home.champion()
    assert uri == SETTINGS.uri("champions", version.sha256)
    assert [path.name for path in home.store.path(uri).iterdir()] == ["model.tar.gz"]
    assert home.champion() == uri
    assert version.sha256 in home.champion("another")


def test_a_repeated_run_is_not_compared_with_the_model_it_made(home):
    old = home.approve("before", "old")
    first = home.champion("a")
    maker = home.run("a", champion=first)
    new = home.approve(maker.name, "new")
    assert home.champion("a") == first == SETTINGS.uri("champions", old.sha256)
    assert home.champion("b") == SETTINGS.uri("champions", new.sha256)


def test_a_champion_whose_bytes_have_changed_stops_the_start(home):
    home.approve("some-run")
    stored = next(path for path in home.root.rglob("model.tar.gz") if home.store.root not in path.parents)
    stored.chmod(0o644)
    stored.write_bytes(b"other")
    with pytest.raises(RegistryError, match="was registered: it was changed"):
        home.champion()
    assert not home.store.exists(SETTINGS.uri("champions"))


def test_the_first_ledger_is_empty(home):
    uri, entries = home.ledger()
    assert uri.startswith(SETTINGS.uri("ledgers", "a"))
    assert entries == ()


def test_a_run_sees_the_looks_of_others_and_a_repeated_one_not_its_own(home):
    before = home.ledger("a")
    home.run("a", looks=[look("1")])
    assert home.ledger("a") == before
    home.run("b", looks=[look("2")])
    assert [entry.model[0] for entry in home.ledger("a")[1]] == ["2"]
    assert [entry.model[0] for entry in home.ledger("b")[1]] == ["1"]
    assert [entry.model[0] for entry in home.ledger("c")[1]] in (["1", "2"], ["2", "1"])


def test_a_rejected_conversion_has_looked_as_well(home):
    home.run("a", rejected=[look("1")])
    assert home.ledger("a")[1] == ()
    assert len(home.ledger("b")[1]) == 1


def test_looking_again_later_is_no_new_ledger_for_the_others(home):
    home.run("a", looks=[look("1")])
    seen = home.ledger("b")
    home.run("a", looks=[look("1", moment="2027-01-01T00:00:00Z")])
    assert home.ledger("b") == seen


def test_a_damaged_look_stops_the_start(home):
    home.run("a", looks=[look("1")])
    path = next(home.store.path(SETTINGS.uri("ledger")).rglob("*.json"))
    path.write_text(path.read_text().replace('"passed": true', '"passed": 1'))
    with pytest.raises(UserError, match=r"the look at a test split in .* is damaged: passed is .*restore the file"):
        home.ledger("b")
