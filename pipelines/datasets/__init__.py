"""The datasets that `conf/base/catalog.yml` names: tables, documents, bundles and reports.

Every save is whole or not there; what is missing or unreadable is one line that says what to do.
"""

from pipelines.datasets.bundles import Bundles, Reports
from pipelines.datasets.documents import Document, StructFile
from pipelines.datasets.tables import ParquetTable, SourceTables, Tables

__all__ = ["Bundles", "Document", "ParquetTable", "Reports", "SourceTables", "StructFile", "Tables"]
