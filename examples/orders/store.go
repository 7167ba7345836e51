package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync"

	bearer "github.com/bearerkit/bearerkit/middleware"
	"github.com/bearerkit/bearerkit/verify"
)

// A user is a row of the table of users. Issuer and Subject identify it
// together: a subject alone may exist at two issuers.
type user struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
	Blocked bool   `json:"blocked"`
}

// userTable stands for a table in a database.
type userTable []user

func readUsers(file string) (userTable, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("USERS: %w", err)
	}
	var users userTable
	if err := json.Unmarshal(b, &users); err != nil {
		return nil, fmt.Errorf("USERS: %s: %w", file, err)
	}
	return users, nil
}

// find resolves the user of a verified token. An error other than the two here,
// such as that of a database, would be answered with 503.
func (users userTable) find(_ context.Context, t *verify.Token) (*user, error) {
	for i := range users {
		u := &users[i]
		switch {
		case u.Issuer != t.Issuer || u.Subject != t.Subject:
			continue
		case u.Blocked:
			return nil, fmt.Errorf("user %s is blocked: %w", u.ID, bearer.ErrDenied) // 403
		}
		return u, nil
	}
	return nil, bearer.ErrNoUser // 401
}

// An order is what a user of an organization has ordered.
type order struct {
	ID       string `json:"id"`
	Item     string `json:"item"`
	Cents    int    `json:"cents"`
	PlacedBy string `json:"placed_by"` // the ID of a user
	Canceled bool   `json:"canceled"`
}

// An orderStore keeps orders in memory, in place of a database. The zero value
// is empty and ready for use.
type orderStore struct {
	mu     sync.Mutex
	orders map[string][]order // by organization
	last   int
}

// of returns the orders of an organization, the oldest first.
func (s *orderStore) of(org string) []order {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]order{}, s.orders[org]...)
}

// add stores a new order, of which only item and price are the caller's choice.
func (s *orderStore) add(org, userID string, o order) order {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	o = order{ID: "order_" + strconv.Itoa(s.last), Item: o.Item, Cents: o.Cents, PlacedBy: userID}
	if s.orders == nil {
		s.orders = map[string][]order{}
	}
	s.orders[org] = append(s.orders[org], o)
	return o
}

// cancel cancels an order of an organization, and reports false if it has none
// with that ID.
func (s *orderStore) cancel(org, id string) (order, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.orders[org] {
		if o := &s.orders[org][i]; o.ID == id {
			o.Canceled = true
			return *o, true
		}
	}
	return order{}, false
}
