"""What the store promises, tried for long: kills, failing disks, damage, rivals, hostile input."""

import os

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each start compiles all anew
