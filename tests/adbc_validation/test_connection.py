from adbc_drivers_validation.tests import connection
from adbc_drivers_validation.tests.connection import TestConnection  # noqa: F401

import labhouse


def pytest_generate_tests(metafunc):
    return connection.generate_tests(labhouse.QUIRKS, metafunc)
