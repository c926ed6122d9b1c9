#!/bin/sh
# The same gate for any CI with a shell: gate.sh REFERENCE CANDIDATE CORPUS [PROFILE]
#
# Leaves artifacts/ with the report, the failures and the events, and kept/ with the last ten of them as archives whose
# every byte can be proved later. Ends with the exit code of the comparison: 0 PASS, 1 FAIL, 5 INCONCLUSIVE.
set -u
if [ "$#" -lt 3 ]; then
    echo "usage: gate.sh REFERENCE CANDIDATE CORPUS [PROFILE]" >&2
    exit 2
fi
bitnet-tui parity "$1" "$2" --corpus "$3" --profile "${4:-quantized}" --export artifacts --junit artifacts/junit.xml
verdict=$?
# A comparison that ended early may have left nothing to keep; that must not hide why it did.
if [ -f artifacts/report.json ]; then
    bitnet-tui preserve artifacts --into kept --keep 10 || exit
fi
exit "$verdict"
