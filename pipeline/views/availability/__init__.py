"""What is still there: the account of sources and clips, and how it is said."""

from pipeline.views.availability.account import Account, Evidence, Source, account
from pipeline.views.availability.formats import as_csv, as_json, sentence, summary

__all__ = ["Account", "Evidence", "Source", "account", "as_csv", "as_json", "sentence", "summary"]
