"""Nights over a real folder of objects, with executions that anybody may start as often as they like."""

import secrets
import threading
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.data.snapshots import Snapshot
from pipelines.nightly.decide import Rules
from pipelines.nightly.lease import leased
from pipelines.nightly.night import hold_night
from pipelines.runs.executions import Outcome, Status
from pipelines.storage.folder import FolderObjects
from steps.core.dataset.plan import Source
from steps.core.dataset.snapshot import Batch

LEASE = timedelta(minutes=15)


class FolderExecutions:
    """A folder for each execution, by display name; as moto, it starts a second one for the same token."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def start(self, display_name, _token, _parameters):
        execution = f"{display_name}.{secrets.token_hex(4)}"
        (self.folder / execution).mkdir()
        (self.folder / execution / "status").write_text("Executing")
        return execution

    def find(self, display_name):
        return next((path.name for path in self.folder.glob(f"{display_name}.*")), None)

    def outcome(self, execution):
        status, _, reason = (self.folder / execution / "status").read_text().partition(" ")
        return Outcome(Status(status), reason, "TrainModel" if reason else "", f"tuning-{execution}")

    def executing(self):
        return next((name for name in self.all() if self.outcome(name).status is Status.EXECUTING), None)

    def all(self):
        return sorted((path.name for path in self.folder.iterdir()), key=lambda n: (self.folder / n).stat().st_ctime_ns)

    def end(self, status, reason=""):
        (going_on,) = [name for name in self.all() if self.outcome(name).status is Status.EXECUTING]
        (self.folder / going_on / "status").write_text(f"{status} {reason}".strip())
        return going_on


class FolderSite:
    """A place for nights: its data are batches that a test names, each of ten labels."""

    pipeline = "tilegate"

    def __init__(self, root):
        self.root = root
        self.artifacts = FolderObjects(root / "artifacts", "artifacts")
        self.executions = FolderExecutions(root / "executions")
        self.batches = ("one",)
        self.definition = "d1"
        self.added = datetime(2026, 11, 24, tzinfo=UTC)
        self.earlier = None
        self._counted = threading.local()

    def alone(self, clock):
        return leased(self.artifacts, LEASE, clock)

    def take_in(self):
        return []

    def data(self):
        batches = tuple(Batch(name, "labels.csv", name, added=self.added.isoformat()) for name in self.batches)
        digest = "-".join(self.batches)
        return Snapshot(f"s3://data/datasets/{digest}", Source(digest), batches) if batches else None

    def settings(self):
        return self.definition

    def labels(self, _batch):
        return 10

    def parameters(self, data, _question, earlier):
        self.earlier = list(earlier)
        return {"DatasetUri": data.uri, "ChampionUri": f"of {len(earlier)} earlier"}


class Clock:
    def __init__(self):
        self.now = datetime(2026, 11, 25, 2, 0, tzinfo=UTC)

    def __call__(self):
        return self.now

    def pass_(self, **time):
        self.now += timedelta(**time)


class Nights:
    """Holds nights at a site, a day after each other."""

    def __init__(self, root):
        self.site, self.clock = FolderSite(root), Clock()

    def hold(self, *batches, **rules):
        self.clock.pass_(days=1)
        self.site.batches = batches or self.site.batches
        return hold_night(self.site, Rules(**rules), clock=self.clock)

    @property
    def executions(self):
        return self.site.executions.all()


@pytest.fixture
def new_nights():
    return Nights


@pytest.fixture
def nights(tmp_path):
    return Nights(tmp_path)
