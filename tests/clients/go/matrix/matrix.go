// Package matrix is what the Go clients of the matrix share: the records, the comparison, the report.
package matrix

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"time"
)

// Partitions of the topics that take the list of records.
const Partitions = 12

// Deadline of every wait.
const Deadline = 30 * time.Second

// Codecs of record batches.
var Codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// Header of a record. Its value may be null.
type Header struct {
	Name  string
	Value []byte
}

// UnmarshalJSON reads a pair.
func (h *Header) UnmarshalJSON(text []byte) error {
	return json.Unmarshal(text, &[]any{&h.Name, &h.Value})
}

// Record of records.py. Keys and values may be null.
type Record struct {
	Partition  int32 `json:"partition"`
	Key, Value []byte
	Headers    []Header `json:"headers"`
	Timestamp  int64    `json:"timestamp"`
}

func (r Record) String() string {
	text := fmt.Sprintf("{%d %q %.60q… (%d) %q %d}", r.Partition, r.Key, r.Value, len(r.Value), r.Headers, r.Timestamp)
	return text
}

func same(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

func (r Record) equal(o Record) bool {
	if len(r.Headers) != len(o.Headers) {
		return false
	}
	for i, h := range r.Headers {
		if h.Name != o.Headers[i].Name || !same(h.Value, o.Headers[i].Value) {
			return false
		}
	}
	return r.Partition == o.Partition && same(r.Key, o.Key) && same(r.Value, o.Value) && r.Timestamp == o.Timestamp
}

// Arguments are the bootstrap address, the list of records and the prefix of topics.
func Arguments() (bootstrap string, records []Record, prefix string) {
	text, err := os.ReadFile(os.Args[2])
	Must(err)
	Must(json.Unmarshal(text, &records))
	return os.Args[1], records, os.Args[3]
}

// Must ends the scenario if there is an error.
func Must(err error) {
	if err != nil {
		panic(err)
	}
}

// Checks counts what was checked and goes on with the next scenario after a failure.
type Checks struct {
	Client, Version string
	passed, failed  int
}

// New takes the version of a client from its module.
func New(client, module string) *Checks {
	info, _ := debug.ReadBuildInfo()
	for _, dependency := range info.Deps {
		if dependency.Path == module {
			return &Checks{Client: client, Version: dependency.Version}
		}
	}
	panic(module + " is not a dependency")
}

// Equal ends the scenario if the two differ.
func (c *Checks) Equal(what string, got, expected any) {
	if !reflect.DeepEqual(got, expected) {
		panic(fmt.Sprintf("%s: got %v, expected %v", what, got, expected))
	}
	c.passed++
}

// True ends the scenario if the condition does not hold.
func (c *Checks) True(what string, condition bool) { c.Equal(what, condition, true) }

// Records compares record by record, in the order of each partition.
func (c *Checks) Records(what string, got, expected []Record) {
	left, right := byPartition(got), byPartition(expected)
	for partition, wanted := range right {
		found := left[partition]
		for i := range min(len(found), len(wanted)) {
			if !found[i].equal(wanted[i]) {
				panic(fmt.Sprintf("%s: record %d: got %v, expected %v", what, i, found[i], wanted[i]))
			}
		}
		if len(found) != len(wanted) {
			panic(fmt.Sprintf("%s: partition %d has %d records, expected %d", what, partition, len(found), len(wanted)))
		}
	}
	c.passed++
}

func byPartition(records []Record) map[int32][]Record {
	found := map[int32][]Record{}
	for _, r := range records {
		found[r.Partition] = append(found[r.Partition], r)
	}
	return found
}

// Scenario runs a part of the checks; a panic is its failure.
func (c *Checks) Scenario(name string, run func()) {
	begin := time.Now()
	defer func() {
		if failure := recover(); failure != nil {
			c.failed++
			fmt.Printf("%s: %s: %v\n", c.Client, name, failure)
		}
		fmt.Fprintf(os.Stderr, "%s: %s took %.1f s\n", c.Client, name, time.Since(begin).Seconds())
	}()
	run()
}

// Report prints the client's one line and ends the program.
func (c *Checks) Report() {
	if c.failed > 0 {
		fmt.Printf("%s %s: %d checks passed, %d FAILED\n", c.Client, c.Version, c.passed, c.failed)
		os.Exit(1)
	}
	fmt.Printf("%s %s: %d checks passed\n", c.Client, c.Version, c.passed)
}

// Until asks until the answer is true.
func Until(what string, condition func() bool) {
	for end := time.Now().Add(Deadline); !condition(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			panic("still not: " + what)
		}
	}
}

// Times repeats a list.
func Times(records []Record, n int) (all []Record) {
	for range n {
		all = append(all, records...)
	}
	return all
}

// Numbered makes records 0 to count-1 for partition 0, a second apart.
func Numbered(count int, start int64) (records []Record) {
	for i := range count {
		records = append(records, Record{Value: fmt.Appendf(nil, "%d", i), Timestamp: start + 1000*int64(i)})
	}
	return records
}
