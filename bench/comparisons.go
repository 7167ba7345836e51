package main

import (
	"context"
	"fmt"

	"github.com/bearerkit/bearerkit/bench/contender"
	"github.com/bearerkit/bearerkit/bench/paired"
	"github.com/bearerkit/bearerkit/bench/token"
	"github.com/bearerkit/bearerkit/verify"
)

// A comparison is some work, done by several subjects to the same tokens of one
// algorithm. The first subject is the reference.
type comparison func(ctx context.Context, is *token.Issuer, tokens []token.Token) ([]paired.Subject, error)

// comparisons are what is compared for every algorithm.
var comparisons = map[string]comparison{
	"unique":  contenders(contender.All),
	"missing": missing,
	"claims":  contenders(contender.Decoding),
	"seen":    seen,
}

func contenders(list []contender.Contender) comparison {
	return func(ctx context.Context, is *token.Issuer, tokens []token.Token) ([]paired.Subject, error) {
		return withRaw(is, tokens, func() (subjects []paired.Subject, err error) {
			for _, c := range list {
				verify, err := c.New(ctx, is)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", c.Name, err)
				}
				subjects = append(subjects, paired.Subject{Name: c.Name, Op: func(i int) error {
					return verify(ctx, tokens[i%len(tokens)].Raw)
				}})
			}
			return subjects, nil
		})
	}
}

// missing has a cache that is full and has never seen the token: once all
// tokens have had their turn, a new verifier takes over.
func missing(ctx context.Context, is *token.Issuer, tokens []token.Token) ([]paired.Subject, error) {
	return withRaw(is, tokens, func() ([]paired.Subject, error) {
		var v *verify.Verifier
		return []paired.Subject{{Name: kitName, Op: func(i int) (err error) {
			if i %= len(tokens); i == 0 {
				if v, err = contender.NewKit(is, len(tokens)/4); err != nil {
					return err
				}
			}
			_, err = v.Verify(ctx, tokens[i].Raw)
			return err
		}}}, nil
	})
}

// hot is how many tokens come again and again, where nothing else is said.
const hot = 64

func seen(ctx context.Context, is *token.Issuer, tokens []token.Token) ([]paired.Subject, error) {
	return withRaw(is, tokens, func() ([]paired.Subject, error) {
		v, err := contender.NewKit(is, 0)
		if err != nil {
			return nil, err
		}
		subjects := []paired.Subject{verifiesAgain(ctx, kitName, v, tokens)}
		for _, decoding := range []struct {
			name   string
			decode func(*verify.Token) error
		}{
			{kitName + ", verify.ClaimsOf", func(t *verify.Token) error { _, err := verify.ClaimsOf[token.Claims](t); return err }},
			{kitName + ", t.Claims", func(t *verify.Token) error { return t.Claims(new(token.Claims)) }},
		} {
			again := tokens[:min(hot, len(tokens))]
			s := paired.Subject{Name: decoding.name, Op: func(i int) error {
				t, err := v.Verify(ctx, again[i%len(again)].Raw)
				if err != nil {
					return err
				}
				return decoding.decode(t)
			}}
			for i := range again {
				_ = s.Op(i)
			}
			subjects = append(subjects, s)
		}
		return subjects, nil
	})
}

// verifies is a subject that verifies tokens in turn.
func verifies(ctx context.Context, name string, v *verify.Verifier, tokens []token.Token) paired.Subject {
	return paired.Subject{Name: name, Op: func(i int) error {
		_, err := v.Verify(ctx, tokens[i%len(tokens)].Raw)
		return err
	}}
}

// verifiesAgain is a subject that verifies a few tokens again and again.
func verifiesAgain(ctx context.Context, name string, v *verify.Verifier, tokens []token.Token) paired.Subject {
	s := verifies(ctx, name, v, tokens[:min(hot, len(tokens))])
	for i := range hot {
		_ = s.Op(i) // if it fails it does so again
	}
	return s
}

// withRaw puts the reference before the others.
func withRaw(is *token.Issuer, tokens []token.Token, others func() ([]paired.Subject, error)) ([]paired.Subject, error) {
	raw, err := contender.Raw(is, tokens)
	if err != nil {
		return nil, err
	}
	list, err := others()
	return append([]paired.Subject{{Name: rawName, Op: raw}}, list...), err
}

const (
	rawName = "raw"
	kitName = "bearerkit"
)
