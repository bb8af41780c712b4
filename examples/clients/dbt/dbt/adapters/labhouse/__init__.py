from dbt.adapters.base import AdapterPlugin

from dbt.adapters.labhouse.connections import LabhouseCredentials
from dbt.adapters.labhouse.impl import LabhouseAdapter
from dbt.include import labhouse

Plugin = AdapterPlugin(
    adapter=LabhouseAdapter, credentials=LabhouseCredentials, include_path=labhouse.PACKAGE_PATH
)
