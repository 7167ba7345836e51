package faults_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/bearerkit/bearerkit/internal/faults"
	"github.com/bearerkit/bearerkit/verify"
)

func TestList(t *testing.T) {
	var part, whole faults.List[verify.Fault]
	if part.Err() != nil || part.ErrOf("p") != nil {
		t.Fatal("an empty list is an error")
	}
	whole.Join("Nothing", nil)
	part.Add("URL", "%q is not one", "x")
	part.Add("", "is closed")
	whole.Add("Audience", "is required")
	whole.Join("Keys", part.Err())
	whole.Join("", part.Err())
	whole.Join("Deep", fmt.Errorf("a: %w", errors.Join(errors.New("no fault"), part.ErrOf("part"))))
	whole.Join("Other", errors.New("100% broken"))
	err := whole.ErrOf("whole")
	var got []string
	for _, f := range verify.Faults(fmt.Errorf("outside: %w", err)) {
		got = append(got, f.Error())
	}
	want := []string{
		"Audience: is required",
		`Keys.URL: "x" is not one`, "Keys: is closed",
		`URL: "x" is not one`, "is closed",
		`Deep.URL: "x" is not one`, "Deep: is closed",
		"Other: 100% broken",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if text := err.Error(); text[:len("whole: invalid configuration: Audience")] != "whole: invalid configuration: Audience" {
		t.Errorf("error %q", text)
	}
}
