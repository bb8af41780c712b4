from adbc_drivers_validation.tests import statement
from adbc_drivers_validation.tests.statement import TestStatement  # noqa: F401

import labhouse


def pytest_generate_tests(metafunc):
    return statement.generate_tests(labhouse.QUIRKS, metafunc)
