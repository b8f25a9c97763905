"""python -m mpmjax"""

from mpmjax.cli import main

main()
