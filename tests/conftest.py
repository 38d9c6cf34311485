"""How random tests draw: the same examples in every run, others on request.

`make test` judges a change, so it must not depend on luck. To look for what the fixed examples
miss: ``FL_OPT_HYPOTHESIS=explore python -m pytest tests/test_NAME.py``.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("fixed", derandomize=True, database=None)
settings.register_profile("explore", derandomize=False, max_examples=500)
settings.load_profile(os.environ.get("FL_OPT_HYPOTHESIS", "fixed"))
