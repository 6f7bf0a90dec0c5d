"""Availability: the account of which sources and clips still exist, and its output formats."""

from pipeline.views.availability.account import Account, Evidence, Source, account
from pipeline.views.availability.formats import as_csv, as_json, sentence, summary

__all__ = ["Account", "Evidence", "Source", "account", "as_csv", "as_json", "sentence", "summary"]
