"""The batches of labelled data that a store holds: added once, immutable, in the order in which they came."""

from pipelines.catalogue.cards import Card
from pipelines.catalogue.catalogue import Added, Catalogue
from pipelines.catalogue.intake import Intake, copy_files, take_in
from pipelines.catalogue.lookup import Sighting, matching_screenshots, sightings

__all__ = [
    "Added",
    "Card",
    "Catalogue",
    "Intake",
    "Sighting",
    "copy_files",
    "matching_screenshots",
    "sightings",
    "take_in",
]
