#!/usr/bin/env bash
# Checks the till.
cd "$(dirname "$0")"
failed=0

check() { # name, expected total, basket
  got=$(printf '%b' "$3" | ./checkout.sh)
  if [ "$got" = "$2" ]; then
    echo "ok      $1"
  else
    echo "FAILED  $1: expected $2, got $got"
    failed=1
  fi
}

check "an empty basket is free"           0     ''
check "one thing costs its price"         250   'tea 250 1\n'
check "a large basket gets 10 % off"      18000 'chair 10000 2\n'
check "exactly 10000 cents get 10 % off"  9000  'table 10000 1\n'

exit $failed
