"""`python -m nca_cli.portraits --out DIR`."""

from nca_cli.portraits import main

main()
