"""The refused rows of a snapshot, as a person meets them: why, what it looks like, and what to type to mend it."""

from pipelines.quarantine.export import write_csv
from pipelines.quarantine.page import write_quarantine_page
from pipelines.quarantine.pictures import Pictures
from pipelines.quarantine.remedies import Remedy, remedy_of

__all__ = ["Pictures", "Remedy", "remedy_of", "write_csv", "write_quarantine_page"]
