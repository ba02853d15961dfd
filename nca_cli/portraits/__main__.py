"""`python -m nca_cli.portraits --out DIR`."""

from nca_cli.portraits.many import main

main()
