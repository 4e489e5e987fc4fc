"""The plan of a run, worked out before it starts: the parts of the snapshot that are not inspected, cut, described yet.

A plan is a folder `plans/<key>/` with `plan.json` and a ManifestFile for each data step, which list the objects that
the step needs and no others: the images of new parts, and of old parts what the store knows of them. The manifests'
prefix is the bucket, so a job finds every object under its key.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from steps.core.common.errors import UserError
from steps.core.common.files import read_json, write_json, write_text
from steps.core.dataset.snapshot import Batch, Place, read_listing, read_snapshot

FILE_NAME = "plan.json"
VALIDATE_OBJECTS, CUT_OBJECTS, INDEX_OBJECTS = "validate.manifest", "cut.manifest", "index.manifest"
DATASETS, FACTS, TILES, FEATURES = "datasets", "facts", "tiles", "features"
SHARDS_MANIFEST, FEATURES_MANIFEST = "shards.manifest", "features.manifest"
# What the store knows of a part's images.
FACTS_FILE, THUMBNAILS_FILE = "facts.parquet", "thumbnails.parquet"
# A change of what is measured in an image, or how, makes a new version: old facts then are not taken for new ones.
INSPECTOR = "2"
_VERSION = 2


@dataclass(frozen=True, slots=True)
class Source:
    """A snapshot, by its digest, and where its batches lie. `name` is what people call it ("version 3")."""

    snapshot: str
    place: Place = field(default_factory=Place)
    name: str = ""

    def batches(self, store: Path) -> list[Batch]:
        """Read the snapshot's batches; `store` is a folder that stands for the bucket."""
        return read_snapshot(store / DATASETS / self.snapshot)

    def listing_key(self, batch: Batch) -> str:
        return f"{self.place.catalogue}/{batch.name}.parquet"

    def listing(self, store: Path, batch: Batch) -> Any:
        return read_listing(store / self.listing_key(batch))

    def labels_key(self, batch: Batch) -> str:
        return f"{self.place.labelled}/{batch.name}/{batch.labels}"

    def file_key(self, batch: str, path: str) -> str:
        return f"{self.place.labelled}/{batch}/{path}"

    def folder(self, store: Path, batch: str) -> Path:
        return store / self.place.labelled / batch

    @classmethod
    def of(cls, value: Any) -> Self:
        """Read what `asdict` wrote; raises KeyError or TypeError for anything else."""
        source = cls(**{**value, "place": Place(**value["place"])})
        _texts([source.snapshot, source.name])
        return source


@dataclass(frozen=True, slots=True)
class Plan:
    """`inspect` and `cut` name the new parts; the other snapshots, None where there are none, are compared with.

    `describe` names the parts whose tiles have no features yet under `features`, the key of the run's spec and weights
    (`steps.core.tiles.features`).

    `champion` is the data that the approved model was trained on, `previous` the snapshot of the last finished run.
    """

    source: Source
    inspect: tuple[str, ...]
    cut: tuple[str, ...]
    describe: tuple[str, ...] = ()
    features: str = ""
    champion: Source | None = None
    previous: Source | None = None

    def write(self, folder: Path) -> None:
        write_json(folder / FILE_NAME, {"version": _VERSION, **asdict(self)})

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a plan; raises UserError that names the file."""
        value = read_json(folder / FILE_NAME)
        try:
            _check_version(value["version"])
            given = (name for name in ("source", "champion", "previous") if value[name] is not None)
            sources = {name: Source.of(value[name]) for name in given}
            return cls(
                source=sources["source"],
                inspect=_texts(value["inspect"]),
                cut=_texts(value["cut"]),
                describe=_texts(value["describe"]),
                features=_texts([value["features"]])[0],
                champion=sources.get("champion"),
                previous=sources.get("previous"),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{folder / FILE_NAME} is no plan of this version ({error!r}): start the run again"
            ) from None


def _check_version(version: Any) -> None:
    if version != _VERSION:
        raise ValueError(f"version {version!r} instead of {_VERSION}")


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise TypeError("a list of texts is wanted")
    return tuple(value)


def write_manifest(path: Path, prefix: str, keys: Iterable[str]) -> None:
    """Write a ManifestFile of SageMaker: the keys of objects below `prefix`, sorted, each once."""
    entries = [{"prefix": prefix.rstrip("/") + "/"}, *sorted(set(keys))]
    write_text(path, json.dumps(entries, ensure_ascii=False, indent=0) + "\n")
