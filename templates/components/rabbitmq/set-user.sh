#!/bin/sh
# Makes a user of the broker, or gives an existing one the password: set-user.sh NAME, the password on stdin.
set -eu
read -r password
if rabbitmqctl --quiet list_users | cut -f 1 | grep -qxF -- "$1"; then
  verb=change_password
else
  verb=add_user
fi
# rabbitmqctl reads the password from stdin when it is not an argument; printf is the shell's own, so neither
# process shows it in its arguments.
printf '%s\n' "$password" | rabbitmqctl --quiet "$verb" "$1"
