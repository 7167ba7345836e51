// Command bench compares the kit and the libraries that people use today, on
// the same tokens, with the raw signature check, in one process:
//
//	go run .           # a few minutes
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
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/bearerkit/bearerkit/bench/paired"
	"github.com/bearerkit/bearerkit/bench/token"
)

type settings struct {
	options    paired.Options
	tokens     int
	algorithms []string
	only       *regexp.Regexp
}

func main() {
	s, err := parse(os.Args[1:], os.Stderr)
	if err != nil {
		os.Exit(2)
	}
	if err := report(context.Background(), os.Stdout, s); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	short := f.Bool("short", false, "a run of seconds that shows that everything works; its numbers mean nothing")
	f.IntVar(&s.options.Rounds, "rounds", 1000, "slices that each contender gets, per algorithm")
	f.DurationVar(&s.options.Slice, "slice", 2*time.Millisecond, "length of a slice")
	f.Uint64Var(&s.options.Seed, "seed", 1, "determines the order within the rounds")
	f.IntVar(&s.tokens, "tokens", 4096, "different tokens per algorithm")
	algorithms := f.String("alg", strings.Join(token.Algorithms, ","), "algorithms, comma-separated")
	only := f.String("only", "", "contenders whose name matches this regular expression, and raw")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	s.algorithms = strings.Split(*algorithms, ",")
	var err error
	if s.only, err = regexp.Compile(*only); err == nil && (s.options.Rounds < 1 || s.options.Slice < 1 || s.tokens < 1) {
		err = fmt.Errorf("rounds, slice and tokens must be positive")
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return s, err
	}
	if *short {
		s.options.Rounds, s.options.Slice, s.tokens = 5, 200*time.Microsecond, 64
	}
	return s, nil
}

// report runs every comparison and prints its tables.
func report(ctx context.Context, w io.Writer, s settings) error {
	machine(w)
	for _, c := range comparisons {
		byAlgorithm := map[string][]paired.Result{}
		for _, algorithm := range s.algorithms {
			results, err := run(ctx, c, algorithm, s)
			if err != nil {
				return fmt.Errorf("%s: %w", algorithm, err)
			}
			byAlgorithm[algorithm] = results
		}
		fmt.Fprintf(w, "\n## %s\n\n%s\n", c.title, c.what)
		table(w, "Median ratio to raw, and its quartiles", s.algorithms, byAlgorithm, func(r paired.Result) string {
			return fmt.Sprintf("%.2f (%.2f–%.2f)", r.Ratio.Median, r.Ratio.Q1, r.Ratio.Q3)
		})
		table(w, "Bytes and allocations per operation", s.algorithms, byAlgorithm, func(r paired.Result) string {
			return fmt.Sprintf("%.0f · %.0f", r.Bytes, r.Allocs)
		})
		table(w, "Median microseconds per operation, in this run", s.algorithms, byAlgorithm, func(r paired.Result) string {
			return fmt.Sprintf("%.1f", r.Nanoseconds.Median/1000)
		})
	}
	return nil
}

func run(ctx context.Context, c comparison, algorithm string, s settings) ([]paired.Result, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	is, err := token.NewIssuer(algorithm)
	if err != nil {
		return nil, err
	}
	defer is.Close()
	tokens, err := is.Mint(s.tokens)
	if err != nil {
		return nil, err
	}
	subjects, err := c.subjects(ctx, is, tokens)
	if err != nil {
		return nil, err
	}
	chosen := subjects[:1:1]
	for _, subject := range subjects[1:] {
		if s.only.MatchString(subject.Name) {
			chosen = append(chosen, subject)
		}
	}
	return paired.Run(chosen, s.options)
}

func table(w io.Writer, title string, algorithms []string, results map[string][]paired.Result, cell func(paired.Result) string) {
	fmt.Fprintf(w, "\n%s:\n\n| | %s |\n|---|%s\n", title, strings.Join(algorithms, " | "), strings.Repeat("---|", len(algorithms)))
	for i, first := range results[algorithms[0]] {
		fmt.Fprintf(w, "| %s |", first.Name)
		for _, a := range algorithms {
			fmt.Fprintf(w, " %s |", cell(results[a][i]))
		}
		fmt.Fprintln(w)
	}
}

// machine prints what the numbers depend on.
func machine(w io.Writer) {
	fmt.Fprintf(w, "%s %s/%s, GOMAXPROCS %d", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0))
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if m := regexp.MustCompile(`(?m)^model name\s*: (.*)$`).FindSubmatch(info); m != nil {
			fmt.Fprintf(w, ", %s", m[1])
		}
	}
	fmt.Fprintln(w)
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, m := range build.Deps {
			if peers[m.Path] {
				fmt.Fprintf(w, "%s %s\n", m.Path, m.Version)
			}
		}
	}
}

// peers are the modules whose versions matter.
var peers = map[string]bool{
	"github.com/MicahParks/keyfunc/v3":      true,
	"github.com/MicahParks/jwkset":          true,
	"github.com/golang-jwt/jwt/v5":          true,
	"github.com/coreos/go-oidc/v3":          true,
	"github.com/go-jose/go-jose/v4":         true,
	"github.com/zitadel/oidc/v3":            true,
	"github.com/lestrrat-go/jwx/v3":         true,
	"github.com/hashicorp/cap":              true,
	"github.com/auth0/go-jwt-middleware/v3": true,
}
