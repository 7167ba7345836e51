package main

import (
	"context"
	"fmt"

	"github.com/bearerkit/bearerkit/bench/contender"
	"github.com/bearerkit/bearerkit/bench/paired"
	"github.com/bearerkit/bearerkit/bench/token"
)

// A comparison is a table of the report: some work, done by several subjects
// to the same tokens. The first subject is the reference.
type comparison struct {
	title, what string
	subjects    func(ctx context.Context, is *token.Issuer, tokens []token.Token) ([]paired.Subject, error)
}

// comparisons are all tables of the report.
var comparisons = []comparison{
	{
		title: "A token never seen",
		what: "Each operation gets the next of many different tokens; raw is the hash and the signature check alone,\n" +
			"with everything decoded beforehand.",
		subjects: unique,
	},
}

func unique(ctx context.Context, is *token.Issuer, tokens []token.Token) ([]paired.Subject, error) {
	raw, err := contender.Raw(is, tokens)
	if err != nil {
		return nil, err
	}
	subjects := []paired.Subject{{Name: "raw", Op: raw}}
	for _, c := range contender.All {
		verify, err := c.New(ctx, is)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
		subjects = append(subjects, paired.Subject{Name: c.Name, Op: func(i int) error {
			return verify(ctx, tokens[i%len(tokens)].Raw)
		}})
	}
	return subjects, nil
}
