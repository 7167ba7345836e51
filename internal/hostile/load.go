package hostile

import (
	"embed"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/bearerkit/bearerkit/verify"
)

//go:embed testdata/*.txt
var files embed.FS

// A Case is a token and the answer that it must get.
type Case struct {
	Name    string // of the file, the section and the case: unique
	Section string // of the file and the section
	Why     string // the rule that the answer follows from
	Expect  Answer
	Strict  *Answer // of a verifier with Config.RFC9068, if the case says
	Exact   bool    // needs a clock that stands still
	Logged  bool    // the log shows the text of <mark>

	key                    string
	header, claims         *string // whole texts
	headerEdits, claimEdit []edit
	signature              []string
	signed, token          *string
}

// An Answer is what a service answers to a token, and why.
type Answer struct {
	Status int           // 200, 400 or 401
	Code   string        // "error" of RFC 6750 section 3.1
	Reason verify.Reason // empty if the token is accepted
	Part   string        // the part of the token that the error names; empty for any
}

// An edit sets a member of an object, or removes it.
type edit struct {
	name, value string
	absent      bool
}

// Cases returns all cases. It panics if a file is not well-formed, which the tests of
// this package would have found.
func Cases() []Case {
	entries, err := files.ReadDir("testdata")
	if err != nil {
		panic(err)
	}
	var all []Case
	for _, e := range entries {
		text, err := files.ReadFile(path.Join("testdata", e.Name()))
		if err != nil {
			panic(err)
		}
		cases, err := parse(strings.TrimSuffix(e.Name(), ".txt"), string(text))
		if err != nil {
			panic(err)
		}
		all = append(all, cases...)
	}
	return all
}

// parse reads a file. It refuses what it does not know, lines that say the same twice,
// and two cases with one name.
func parse(file, text string) ([]Case, error) {
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\n' || r == '\ufeff' }) {
		return nil, fmt.Errorf("%s: only UTF-8 without control characters is allowed, see <hex>", file)
	}
	var cases []Case
	var section stanza
	names := map[string]bool{}
	for _, s := range stanzas(text) {
		fail := func(err error) ([]Case, error) { return nil, fmt.Errorf("%s: line %d: %w", file, s.line, err) }
		if s.err != nil {
			return fail(s.err)
		}
		if s.isSection() {
			section = s
			continue
		}
		if section.line == 0 {
			return fail(errors.New("a case before the first section"))
		}
		c, err := s.asCase(file, section)
		if err != nil {
			return fail(err)
		}
		if names[c.Name] {
			return fail(fmt.Errorf("a second case %q", c.Name))
		}
		names[c.Name] = true
		cases = append(cases, c)
	}
	return cases, nil
}

// A stanza is a list of lines: keys and values in turn.
type stanza struct {
	line  int // in the file
	pairs [][2]string
	err   error
}

func stanzas(text string) []stanza {
	var list []stanza
	open := false
	for i, line := range strings.Split(text, "\n") {
		switch {
		case line == "":
			open = false
			continue
		case line[0] == '#':
			continue
		case !open:
			list, open = append(list, stanza{line: i + 1}), true
		}
		s := &list[len(list)-1]
		key, value, ok := strings.Cut(line, ": ")
		if !ok {
			key, ok = strings.CutSuffix(line, ":")
		}
		switch {
		case !ok || key == "":
			s.err = fmt.Errorf("%q is not a key and a value", line)
		case value != strings.TrimSpace(value):
			s.err = fmt.Errorf("%q has space around its value, see <hex>", line)
		case s.has(key):
			s.err = fmt.Errorf("%q is there twice", key)
		}
		s.pairs = append(s.pairs, [2]string{key, value})
	}
	return list
}

func (s stanza) isSection() bool { return s.pairs[0][0] == "section" }

func (s stanza) has(key string) bool {
	return slices.ContainsFunc(s.pairs, func(p [2]string) bool { return p[0] == key })
}

// asCase reads a case. Those lines of its section apply that it does not have itself.
func (s stanza) asCase(file string, section stanza) (Case, error) {
	c := Case{key: "ES256"}
	var name, why, expect string
	var changes []string
	lines := s.pairs
	for _, p := range section.pairs {
		if !s.has(p[0]) {
			lines = append([][2]string{p}, lines...)
		}
	}
	var err error
	for _, p := range lines {
		key, value := p[0], p[1]
		own := s.has(key)
		switch key {
		case "section":
			if own {
				return c, errors.New("a section is a stanza of its own")
			}
			continue
		case "case":
			name = value
			continue
		case "why":
			why = value
			continue
		case "expect":
			expect = value
			if c.Expect, err = parseAnswer(value); err != nil {
				return c, err
			}
			continue
		case "strict":
			answer, err := parseAnswer(value)
			if err != nil {
				return c, err
			}
			c.Strict = &answer
			continue
		case "clock":
			if value != "exact" {
				return c, fmt.Errorf("unknown clock %q", value)
			}
			c.Exact = true
			continue
		case "log":
			if value != "mark" {
				return c, fmt.Errorf("unknown log %q", value)
			}
			c.Logged = true
			continue
		case "key":
			if !slices.Contains(Algorithms, value) {
				return c, fmt.Errorf("unknown key %q", value)
			}
			c.key = value
		case "header":
			c.header = &value
		case "claims":
			c.claims = &value
		case "signature":
			c.signature = strings.Split(value, ", ")
		case "signed":
			c.signed = &value
		case "token":
			c.token = &value
		default:
			e := edit{value: value, absent: value == "absent"}
			var isHeader, isClaim bool
			if e.name, isHeader = strings.CutPrefix(key, "header."); isHeader {
				c.headerEdits = append(c.headerEdits, e)
			} else if e.name, isClaim = strings.CutPrefix(key, "claim."); isClaim {
				c.claimEdit = append(c.claimEdit, e)
			} else {
				return c, fmt.Errorf("unknown line %q", key)
			}
		}
		if own {
			changes = append(changes, key+": "+value)
		}
	}
	if name == "" {
		name = strings.Join(changes, ", ")
	}
	switch {
	case name == "":
		return c, errors.New("a case has a name or changes something")
	case why == "":
		return c, errors.New(`there is no "why"`)
	case expect == "":
		return c, errors.New(`there is no "expect"`)
	case c.header != nil && c.headerEdits != nil, c.claims != nil && c.claimEdit != nil:
		return c, errors.New("a whole text cannot have members changed")
	}
	c.Section, c.Why = file+": "+section.pairs[0][1], why
	c.Name = c.Section + ": " + name
	return c, nil
}

func parseAnswer(text string) (Answer, error) {
	words := strings.SplitN(text, " ", 4)
	status, err := strconv.Atoi(words[0])
	a := Answer{Status: status}
	if err == nil && status == 200 && len(words) == 1 {
		return a, nil
	}
	if len(words) < 3 {
		return a, fmt.Errorf("%q is not an answer", text)
	}
	a.Code, a.Reason = words[1], verify.Reason(words[2])
	if len(words) > 3 {
		a.Part = words[3]
	}
	want := Answer{401, "invalid_token", a.Reason, a.Part}
	if a.Reason == verify.ErrSyntax {
		want.Status, want.Code = 400, "invalid_request" // RFC 6750 section 3.1
	}
	if a != want || !slices.Contains(verify.Reasons(), a.Reason) {
		return a, fmt.Errorf("%q is not an answer", text)
	}
	return a, nil
}
