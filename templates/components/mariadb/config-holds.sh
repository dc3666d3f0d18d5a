#!/bin/sh
# Whether mariadbd accepts its whole configuration: exit 0, else its own exit code and what it objects to.
# (`mariadbd --help --verbose` ends with a page of advice, below which the reason would not be seen.)
said=$(mariadbd --help --verbose 2>&1 >/dev/null)
code=$?
[ "$code" -eq 0 ] && exit 0
printf '%s\n' "$said" | grep -E "Can't|ERROR" | grep -v 'Aborting$' >&2 || printf '%s\n' "$said" >&2
exit "$code"
