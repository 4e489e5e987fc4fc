"""Labelled data on their way into a bucket: what was dropped into its inbox, and what a person adds."""

from pipelines.intake.adding import add_source
from pipelines.intake.inbox import Dropped, What, take_in_inbox
from pipelines.intake.publishing import Contents, publish_batch

__all__ = ["Contents", "Dropped", "What", "add_source", "publish_batch", "take_in_inbox"]
