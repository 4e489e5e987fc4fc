"""The batches of labelled data that a store holds: added once, immutable, in the order in which they came."""

from pipelines.catalogue.cards import Card
from pipelines.catalogue.catalogue import Catalogue
from pipelines.catalogue.intake import Intake, copy_files, take_in
from pipelines.catalogue.lookup import Sighting, matching_screenshots, sightings
from pipelines.catalogue.reading import Added, Reading, read_source

__all__ = [
    "Added",
    "Card",
    "Catalogue",
    "Intake",
    "Reading",
    "Sighting",
    "copy_files",
    "matching_screenshots",
    "read_source",
    "sightings",
    "take_in",
]
