#!/usr/bin/env bash
# Runs once in a fresh checkout.
chmod +x checkout.sh test.sh
echo "shop is set up ($OPENINSPECT_BOOT_MODE)"
