package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/bearerkit/bearerkit/bench/paired"
	"github.com/bearerkit/bearerkit/bench/token"
)

// A report prints what was measured, and keeps what the goals ask for.
type report struct {
	settings
	w     io.Writer
	goals []goal
}

type goal struct{ work, limit, measured string }

func (r *report) goal(work, limit, measured string) {
	r.goals = append(r.goals, goal{work, limit, measured})
}

func (r *report) printGoals() {
	fmt.Fprintf(r.w, "\n## Against the goals\n\n| work | goal | measured |\n|---|---|---|\n")
	for _, g := range r.goals {
		fmt.Fprintf(r.w, "| %s | %s | %s |\n", g.work, g.limit, g.measured)
	}
}

// compare makes a comparison for every algorithm, prints its tables, and
// returns the results of each.
func (r *report) compare(ctx context.Context, c comparison) (map[string][]paired.Result, error) {
	results := map[string][]paired.Result{}
	for _, algorithm := range r.algorithms {
		err := r.withTokens(ctx, algorithm, r.tokens, func(ctx context.Context, is *token.Issuer, tokens []token.Token) error {
			subjects, err := c(ctx, is, tokens)
			if err != nil {
				return err
			}
			results[algorithm], err = paired.Run(r.chosen(subjects), r.options)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", algorithm, err)
		}
	}
	for _, t := range []struct {
		title string
		cell  func(paired.Result) string
	}{
		{"Median ratio to raw, and its quartiles", func(r paired.Result) string { return ratio(r.Ratio) }},
		{"Bytes and allocations per operation", allocations},
		{"Median microseconds per operation, in this run", func(r paired.Result) string { return fmt.Sprintf("%.2f", r.Nanoseconds.Median/1000) }},
	} {
		fmt.Fprintf(r.w, "\n%s:\n\n| | %s |\n|---|%s\n", t.title, strings.Join(r.algorithms, " | "), strings.Repeat("---|", len(r.algorithms)))
		for i, first := range results[r.algorithms[0]] {
			fmt.Fprintf(r.w, "| %s |", first.Name)
			for _, a := range r.algorithms {
				fmt.Fprintf(r.w, " %s |", t.cell(results[a][i]))
			}
			fmt.Fprintln(r.w)
		}
	}
	return results, nil
}

// list compares subjects that have nothing to do with the algorithms, and
// prints their table.
func (r *report) list(subjects []paired.Subject) ([]paired.Result, error) {
	results, err := paired.Run(r.chosen(subjects), r.options)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(r.w, "\n| | ratio to %s | ns | bytes · allocations |\n|---|---|---|---|\n", results[0].Name)
	for _, s := range results {
		fmt.Fprintf(r.w, "| %s | %s | %.0f (%.0f–%.0f) | %s |\n", s.Name, ratio(s.Ratio),
			s.Nanoseconds.Median, s.Nanoseconds.Q1, s.Nanoseconds.Q3, allocations(s))
	}
	return results, nil
}

// chosen leaves out the contenders that were not asked for.
func (r *report) chosen(subjects []paired.Subject) []paired.Subject {
	list := subjects[:1:1]
	for _, s := range subjects[1:] {
		if r.only.MatchString(s.Name) {
			list = append(list, s)
		}
	}
	return list
}

// withTokens does something with an issuer and its tokens.
func (r *report) withTokens(ctx context.Context, algorithm string, n int, do func(context.Context, *token.Issuer, []token.Token) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	is, err := token.NewIssuer(algorithm)
	if err != nil {
		return err
	}
	defer is.Close()
	tokens, err := is.Mint(n)
	if err != nil {
		return err
	}
	return do(ctx, is, tokens)
}

// ratio has as many digits as mean something.
func ratio(q paired.Quartiles) string {
	format := "%.2f (%.2f–%.2f)"
	if q.Median < .2 {
		format = "%.4f (%.4f–%.4f)"
	}
	return fmt.Sprintf(format, q.Median, q.Q1, q.Q3)
}

// inverse is the ratio the other way round.
func inverse(q paired.Quartiles) paired.Quartiles {
	return paired.Quartiles{Q1: 1 / q.Q3, Median: 1 / q.Median, Q3: 1 / q.Q1}
}

func allocations(r paired.Result) string { return fmt.Sprintf("%.0f · %.0f", r.Bytes, r.Allocs) }

// byAlgorithm has one subject's ratio for all algorithms.
func byAlgorithm(results map[string][]paired.Result, algorithms []string, name string) string {
	var cells []string
	for _, a := range algorithms {
		if s, ok := named(results[a], name); ok {
			cells = append(cells, ratio(s.Ratio))
		}
	}
	return strings.Join(cells, " / ")
}

func named(results []paired.Result, name string) (paired.Result, bool) {
	for _, r := range results {
		if r.Name == name {
			return r, true
		}
	}
	return paired.Result{}, false
}

// machine prints what the numbers depend on.
func (r *report) machine() {
	fmt.Fprintf(r.w, "%s %s/%s, GOMAXPROCS %d", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0))
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if m := regexp.MustCompile(`(?m)^model name\s*: (.*)$`).FindSubmatch(info); m != nil {
			fmt.Fprintf(r.w, ", %s", m[1])
		}
	}
	fmt.Fprintln(r.w)
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, m := range build.Deps {
			if peers[m.Path] {
				fmt.Fprintf(r.w, "%s %s\n", m.Path, m.Version)
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
	"github.com/maypok86/otter/v2":          true,
}
