#!/usr/bin/env bash
# Prints the total of a basket in cents. Each line of standard input is: name, price in cents, quantity.
# Baskets of 10000 cents and more get 10 % off.
set -euo pipefail

total=0
while read -r _ price quantity; do
  total=$((total + price * quantity))
done

if [ "$total" -gt 10000 ]; then
  total=$((total - total / 10))
fi
echo "$total"
