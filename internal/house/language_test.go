package house_test

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A phrase is what plain English says otherwise.
type phrase struct {
	pattern *regexp.Regexp
	better  string
	part    string // that every match has; it is found faster than the pattern
}

var phrases = []phrase{
	{regexp.MustCompile(`(?i)\b(?:is|are|was|were) no [a-z]`), `"is not a"`, " no "},
	{regexp.MustCompile(`(?i)\bwho(?:so)?ever\b`), `"anyone who", or the caller, the client, the request`, "ever"},
	{regexp.MustCompile(`(?i)\b(?:is|are|was|were|falls?) ill\b`), `"fails" or "is down"`, " ill"},
	{regexp.MustCompile(`(?i)\bnone that\b`), `"not one that"`, "none that"},
	{regexp.MustCompile(`(?i)\bours\b`), `"the kit", "the service", "valid", "accepted"`, "ours"},
	{regexp.MustCompile(`(?i)\bat hand\b`), `"cached", "current"`, "at hand"},
	{regexp.MustCompile(`(?i)\bwants? to be\b`), `"must be", "may be"`, " to be"},
}

// usual has phrases that are plain English though a pattern finds them.
var usual = regexp.MustCompile(`(?i)\bthere (?:is|are|was|were) no |\b(?:is|are|was|were) no (?:longer|more)\b|"(?:is no|whoever|is ill|ours)"`)

// TestLanguage finds phrases that a reader stumbles over, in comments, texts and
// documents. CONTRIBUTING.md has the rule.
func TestLanguage(t *testing.T) {
	list := exec.Command("git", "ls-files", "-z", "*.go", "*.md")
	list.Dir = "../.."
	out, err := list.Output()
	if err != nil {
		t.Skipf("this is not a clone: git ls-files: %v", err)
	}
	files := slices.DeleteFunc(strings.Split(string(out), "\x00"), func(f string) bool {
		return f == "" || f == "CHANGELOG.md" || f == "internal/house/language_test.go"
	})
	if len(files) < 100 {
		t.Fatalf("only %d files", len(files))
	}
	for _, file := range files {
		text, err := os.ReadFile("../../" + file)
		if os.IsNotExist(err) {
			continue // removed, but not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		before := ""
		for i, line := range strings.Split(string(text), "\n") {
			// A phrase can begin at the end of the line before.
			line = before + " " + strings.TrimPrefix(strings.TrimSpace(line), "// ")
			lower := strings.ToLower(line)
			candidates := slices.DeleteFunc(slices.Clone(phrases), func(p phrase) bool { return !strings.Contains(lower, p.part) })
			if len(candidates) > 0 {
				line = usual.ReplaceAllString(line, "")
			}
			words := strings.Fields(line)
			before = strings.Join(words[max(0, len(words)-3):], " ")
			for _, p := range candidates {
				if found := p.pattern.FindString(line); found != "" {
					t.Errorf("%s:%d: %q: better is %s: %s", file, i+1, found, p.better, strings.TrimSpace(line))
				}
			}
		}
	}
}
