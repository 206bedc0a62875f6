#!/bin/busybox sh
# The body is a path as a JSON text; the answer is a JSON object of words and their counts.
b=/bin/busybox
path=$($b head -c "$CONTENT_LENGTH")
path=${path#\"}
path=${path%\"}
printf 'Content-Type: application/json\r\n\r\n'
$b tr 'A-Z' 'a-z' <"$path" | $b tr -cs 'a-z' '\n' | $b sort | $b uniq -c | $b awk '
    BEGIN { printf "{" }
    length($2) > 3 { printf "%s\"%s\":%s", comma, $2, $1; comma = "," }
    END { print "}" }'
