"""What the store promises, tried for long: kills, failing disks, damage, rivals, hostile input."""
