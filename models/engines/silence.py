"""OpenVINO and NNCF without their statistics: this package of theirs would send the use of both to its makers.

Import this module before either of them. Both do without the package if it cannot be imported.
"""

from __future__ import annotations

import sys

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # an import of it fails from now on
