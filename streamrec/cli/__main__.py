"""`python -m streamrec.cli`: the same as `streamrec`, where its script is not on the PATH."""

from streamrec.cli import main

main()
