"""What every test finds: the same random examples in every run, and a Ctrl-C that arrives.

`make test` judges a change, so it must not depend on luck. To look for what the fixed examples
miss: ``FL_OPT_HYPOTHESIS=explore python -m pytest tests/test_NAME.py``.
"""

from __future__ import annotations

import os
import signal

from hypothesis import settings

settings.register_profile("fixed", derandomize=True, database=None)
settings.register_profile("explore", derandomize=False, max_examples=500)
settings.load_profile(os.environ.get("FL_OPT_HYPOTHESIS", "fixed"))

# a shell's job in the background ignores Ctrl-C, and so would the processes that tests interrupt
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
