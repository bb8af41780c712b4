from adbc_drivers_validation.tests import ingest
from adbc_drivers_validation.tests.ingest import TestIngest  # noqa: F401

import labhouse


def pytest_generate_tests(metafunc):
    return ingest.generate_tests(labhouse.QUIRKS, metafunc)
