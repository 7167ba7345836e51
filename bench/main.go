// Command bench measures what verifying costs, in one process and in paired
// slices of time: the kit and the libraries that people use today, on the same
// tokens, to the raw signature check; and what the kit costs a service that
// meets the same tokens again.
//
//	go run .           # several minutes
//	go run . -short    # seconds: shows that it works, its numbers mean nothing
//
// README.md says what is measured and how to read it.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/bearerkit/bearerkit/bench/paired"
	"github.com/bearerkit/bearerkit/bench/token"
)

type settings struct {
	options    paired.Options
	tokens     int           // different ones per algorithm
	many       int           // cached ones, where their number is the question
	batch      int           // requests on a connection, where many are made at once
	latencies  time.Duration // how long they are watched
	algorithms []string
	only       *regexp.Regexp
	tables     *regexp.Regexp
	chart      string // the file to draw one into
}

func main() {
	if serves() {
		return
	}
	s, err := parse(os.Args[1:], os.Stderr)
	if err != nil {
		os.Exit(2)
	}
	if err := run(context.Background(), os.Stdout, s); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse(args []string, stderr io.Writer) (settings, error) {
	s := settings{many: 100_000, batch: 32, latencies: 30 * time.Second}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	short := f.Bool("short", false, "a run of seconds that shows that everything works; its numbers mean nothing")
	f.IntVar(&s.options.Rounds, "rounds", 1000, "slices that each subject gets")
	f.DurationVar(&s.options.Slice, "slice", 2*time.Millisecond, "length of a slice")
	f.Uint64Var(&s.options.Seed, "seed", 1, "determines the order within the rounds")
	f.IntVar(&s.tokens, "tokens", 4096, "different tokens per algorithm")
	algorithms := f.String("alg", strings.Join(token.Algorithms, ","), "algorithms of the tables that have several, comma-separated")
	only := f.String("only", "", "contenders whose name matches this regular expression, and raw")
	tables := f.String("tables", "", "tables whose title matches this regular expression")
	f.StringVar(&s.chart, "chart", "", "SVG file for a chart of what a token never seen costs, by the first algorithm")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	s.algorithms = strings.Split(*algorithms, ",")
	err := func() (err error) {
		if s.only, err = regexp.Compile(*only); err != nil {
			return err
		}
		if s.tables, err = regexp.Compile(*tables); err != nil {
			return err
		}
		if s.options.Rounds < 1 || s.options.Slice < 1 || s.tokens < 4 {
			return fmt.Errorf("rounds and slice must be positive, and tokens at least 4")
		}
		return nil
	}()
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return s, err
	}
	if *short {
		s.options.Rounds, s.options.Slice, s.tokens = 5, 200*time.Microsecond, 64
		s.many, s.batch, s.latencies = 512, 1, time.Second
	}
	return s, nil
}

// run makes the report.
func run(ctx context.Context, w io.Writer, s settings) error {
	r := &report{settings: s, w: w}
	r.machine()
	for _, section := range sections {
		if !s.tables.MatchString(section.title) {
			continue
		}
		fmt.Fprintf(w, "\n## %s\n\n%s\n", section.title, section.what)
		if err := section.run(ctx, r); err != nil {
			return fmt.Errorf("%s: %w", section.title, err)
		}
	}
	r.printGoals()
	return nil
}
