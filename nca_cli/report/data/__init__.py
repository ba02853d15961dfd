"""What a report says: values that are built once, by `collect` and `gallery`, and never changed."""

from nca_cli.report.data.collect import Progress, collect, no_progress
from nca_cli.report.data.findings import findings, headlines, leading, title, told
from nca_cli.report.data.pictures import Gallery, gallery
from nca_cli.report.data.report import (
    MAX_MB,
    Report,
    ReportedImage,
    ReportedModel,
    ReportRequest,
    Series,
)
from nca_cli.report.data.strips import Filmstrip, Shelf
from nca_cli.report.data.written import csv_text, json_text, training_csv_text
