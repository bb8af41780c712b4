from adbc_drivers_validation.tests import query
from adbc_drivers_validation.tests.query import TestQuery  # noqa: F401

import labhouse


def pytest_generate_tests(metafunc):
    return query.generate_tests(labhouse.QUIRKS, metafunc)
