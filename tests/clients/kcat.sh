#!/usr/bin/env bash
# kcat (an old librdkafka) against a broker: kcat.sh BOOTSTRAP RECORDS PREFIX, after confluent.py with the same PREFIX,
# whose topics it reads too.
set -euo pipefail
bootstrap=$1 records=$2 prefix=$3
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
passed=0 failed=0

kc() { timeout 30 kcat -b "$bootstrap" -m 20 "$@" 2>> "$work/stderr"; }
consume() { kc -C -e -q "$@"; }

# same WHAT GOT EXPECTED: two files with the same bytes.
same() {
  if cmp -s "$2" "$3"; then passed=$((passed + 1)); return; fi
  failed=$((failed + 1))
  echo "kcat: $1: got (left), expected (right):"
  diff <(head -c 2000 "$2") <(head -c 2000 "$3") | head -10 || true
  tail -3 "$work/stderr"
}
# says WHAT EXPECTED COMMAND...: what a command prints.
says() {
  local what=$1 expected=$2; shift 2
  printf '%b' "$expected" > "$work/expected"
  "$@" > "$work/got" || echo "exit code $?" >> "$work/got"
  same "$what" "$work/got" "$work/expected"
}

first_use() {
  printf 'k1:v1\nk2:v2\n' | kc -P -t "$prefix-kcat" -K:
  says "a topic made by its first records" 'v1\nv2\n' consume -t "$prefix-kcat"
  says "keys and offsets" 'k1 v1 0\nk2 v2 1\n' consume -t "$prefix-kcat" -f '%k %s %o\n'
}

# Every codec with every kind of acknowledgement, into one topic: a key, headers, an empty and a null value, 900 kB.
codecs() {
  local topic=$prefix-kcat-codecs codec mode expected=
  head -c 900000 /dev/urandom > "$work/large"
  for codec in none gzip snappy lz4 zstd; do
    for mode in enable.idempotence=true acks=all acks=1 acks=0; do
      printf 'a=1\nb=\n' | kc -P -t "$topic" -z "$codec" -X "$mode" -K= -H h1=x -H h2=y
      printf 'c=\n' | kc -P -t "$topic" -z "$codec" -X "$mode" -K= -Z
      kc -P -t "$topic" -z "$codec" -X "$mode" "$work/large"
      expected+='a 1 h1=x,h2=y\nb 0 h1=x,h2=y\nc -1 \n 900000 \n'
    done
  done
  says "every codec, acks and header" "$expected" consume -t "$topic" -f '%k %S %h\n'
  kc -C -q -t "$topic" -o 3 -c 1 -D '' > "$work/read"
  same "a large record" "$work/read" "$work/large"
}

positions() {
  local topic=$prefix-kcat-positions time
  seq 100 | kc -P -t "$topic" -X linger.ms=100
  says "from an offset inside a batch" '100\n' consume -t "$topic" -o 99
  says "from the end backwards" '98\n99\n100\n' consume -t "$topic" -o -3
  time=$(kc -C -q -t "$topic" -o 50 -c 1 -f '%T')
  says "from a time" "$(kc -C -q -t "$topic" -e -f '%T %s\n' | awk -v t="$time" '$1 >= t {printf "%s\\n", $2}')" \
    consume -t "$topic" -o "s@$time"
  says "the offset before all times" "$topic [0] offset 0\n" kc -Q -t "$topic:0:1"
}

# What confluent.py wrote: 12 partitions, four times the list of records.
other_client() {
  local codec
  for codec in none gzip snappy lz4 zstd; do
    python3 - "$records" > "$work/expected" <<'PY'
import base64, collections, json, sys
ends = collections.Counter()
lengths = lambda text: -1 if text is None else len(base64.b64decode(text))
for r in json.load(open(sys.argv[1])) * 4:
    p = r["partition"]
    # kcat prints a key that is there but empty like one that is not.
    print(p, ends[p], r["timestamp"], max(lengths(r["key"]), 0), lengths(r["value"]))
    ends[p] += 1
PY
    consume -t "$prefix-confluent-$codec" -f '%p %o %T %K %S\n' | sed -E 's/^(\S+ \S+ \S+) -1 /\1 0 /' | sort > "$work/got"
    sort -o "$work/expected" "$work/expected"
    same "what confluent-kafka wrote with $codec" "$work/got" "$work/expected"
  done
  says "partitions" '12\n' grep -c '    partition ' <(kc -L -t "$prefix-confluent-none")
}

first_use
codecs
positions
other_client
version=$(kcat -V 2>&1 | sed -n 's/^Version \([0-9.]*\).*\(librdkafka [0-9.]*\).*/\1 (\2)/p')
echo "kcat $version: $passed checks passed$([ "$failed" = 0 ] || echo ", $failed FAILED")"
[ "$failed" = 0 ]
