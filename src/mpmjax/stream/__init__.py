"""Disk <-> memory: tiles, readers, ordered workers, the store of maps and their COGs. No science."""
