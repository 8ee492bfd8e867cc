# shellcheck shell=sh
# Run by /bin/sh in a sandbox, as the task's user: rotate SIZE BACKUPS. Copies and truncates, since the writers stay.
for log in .logs/*/*/stdout .logs/*/*/stderr; do
    if [ -f "$log" ] && [ "$(stat -c %s "$log")" -gt "$1" ]; then
        number=$2
        while [ "$number" -gt 1 ]; do
            [ ! -f "$log.$((number - 1))" ] || mv -f "$log.$((number - 1))" "$log.$number"
            number=$((number - 1))
        done
        [ "$2" -lt 1 ] || cp "$log" "$log.1"
        : >"$log"
    fi
done
