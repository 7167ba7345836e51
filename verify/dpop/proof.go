package dpop

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/bearerkit/bearerkit/internal/jose"
	"github.com/bearerkit/bearerkit/internal/strictjson"
	"github.com/bearerkit/bearerkit/verify"
)

// A checker checks proofs.
type checker struct {
	origins    *Origins
	service    string
	algorithms map[string]*jose.Algorithm
	names      []string
	age        age
	nonces     *Nonces // nil: proofs need no nonce
	replay     ReplayStore
	now        func() time.Time
}

// A proof is a DPoP proof JWT (RFC 9449 section 4.2) that was read.
type proof struct {
	jws                jose.JWS
	key                jwk
	jti, htm, htu, ath string
	nonce              strictjson.Value
	iat                float64
	exp, nbf           strictjson.Value
}

// Prove implements [verify.Binding]: it checks the proof of a request (RFC 9449
// section 4.3). What costs least is checked first, so that the proof of somebody who
// does not have the token's key costs no signature check; that the proof was not used
// before is checked last, so that nobody else can use it up.
func (b *Binding) Prove(ctx context.Context, thumbprint string, r *verify.Request) error {
	c := b.ready.Load()
	if c == nil {
		return &verify.Error{Reason: verify.ErrUnavailable, Part: "binding", Cause: errors.New("dpop: the binding serves no verifier")}
	}
	return c.check(ctx, thumbprint, r)
}

func (c *checker) check(ctx context.Context, thumbprint string, r *verify.Request) error {
	if len(r.Proofs) != 1 {
		return invalid("")
	}
	var p proof
	if part := c.readHeader(r.Proofs[0], &p); part != "" {
		return invalid(part)
	}
	sum := p.key.thumbprint()
	if encode(sum[:]) != thumbprint {
		return &verify.Error{Reason: verify.ErrBound}
	}
	if part := p.readClaims(); part != "" {
		return invalid(part)
	}
	hash := sha256.Sum256([]byte(r.Token))
	switch {
	case p.ath != encode(hash[:]):
		return invalid("ath")
	case p.htm != r.Method || p.htm == "":
		return invalid("htm")
	case !c.origins.Match(p.htu, r.Host, r.Target):
		return invalid("htu")
	}
	now := c.now()
	until, err := c.checkTime(&p, now, r)
	if err != nil {
		return err
	}
	public, err := p.key.public()
	if err != nil {
		return invalid("jwk")
	}
	if a := p.jws.Algorithm; !a.Fits(public) || a.CheckSize(p.jws.Signature) != nil || !a.Verifies(p.jws.Signed, p.jws.Signature, public) {
		return invalid("signature")
	}
	switch first, err := c.replay.First(ctx, replayID(c.service, sum, p.jti), until); {
	case err != nil:
		return &verify.Error{Reason: verify.ErrUnavailable, Part: "binding", Cause: err}
	case !first:
		return &verify.Error{Reason: verify.ErrReplayed}
	}
	return nil
}

// invalid is the error of a proof with a part that is not valid.
func invalid(part string) error { return &verify.Error{Reason: verify.ErrProof, Part: part} }

// readHeader takes a proof apart and reads its header. It returns the part that is at
// fault, or nothing.
func (c *checker) readHeader(text string, p *proof) (fault string) {
	if len(text) > maxProofSize {
		return "size"
	}
	var key strictjson.Value
	reader := jose.Reader{Algorithms: c.algorithms, Member: func(name string, value strictjson.Value) {
		if name == "jwk" {
			key = value
		}
	}}
	if err := reader.Read(text, &p.jws); err != nil {
		var e jose.Error
		switch errors.As(err, &e); {
		case e.Part != "":
			return e.Part
		case e.Kind == jose.Alg:
			return "alg"
		}
		return "form"
	}
	if p.jws.Type != "dpop+jwt" {
		return "typ"
	}
	var err error
	if p.key, err = parseJWK(key, p.jws.Algorithm.Name); err != nil {
		return "jwk"
	}
	return ""
}

// readClaims reads the claims. It returns the one that is at fault, or nothing.
func (p *proof) readClaims() (fault string) {
	var jti, htm, htu, ath, iat strictjson.Value
	err := strictjson.Object(p.jws.Payload, func(name string, value strictjson.Value) {
		switch name {
		case "jti":
			jti = value
		case "htm":
			htm = value
		case "htu":
			htu = value
		case "ath":
			ath = value
		case "iat":
			iat = value
		case "nonce":
			p.nonce = value
		case "exp":
			p.exp = value
		case "nbf":
			p.nbf = value
		}
	})
	if err != nil {
		return "claims"
	}
	var ok bool
	if p.jti, ok = jti.Text(); !ok || p.jti == "" || len(p.jti) > maxProofID {
		return "jti"
	}
	if p.htm, ok = htm.Text(); !ok {
		return "htm"
	}
	if p.htu, ok = htu.Text(); !ok {
		return "htu"
	}
	if p.ath, ok = ath.Text(); !ok {
		return "ath"
	}
	if p.iat, ok = iat.Float(); !ok {
		return "iat"
	}
	return ""
}

// farOff is how far "iat" may be off if the nonce says when a proof was made.
const farOff = 24 * time.Hour

// checkTime checks when a proof was made: by its nonce, if the service hands out
// nonces, or else by its "iat" (RFC 9449 section 4.3, point 11). It returns until when
// the proof can be used.
func (c *checker) checkTime(p *proof, now time.Time, r *verify.Request) (until time.Time, err error) {
	allowed := c.age
	if c.nonces != nil {
		text, _ := p.nonce.Text()
		nonce, ok := c.nonces.Check(text, now)
		if !nonce.Newest {
			r.SetAnswerField("DPoP-Nonce", c.nonces.Current(now))
		}
		if !ok {
			return until, &verify.Error{Reason: verify.ErrNonce}
		}
		allowed = age{max: farOff, leeway: farOff}
		until = nonce.Until.Add(c.age.leeway + time.Second)
	}
	end, ok := allowed.check(p.iat, now)
	if !ok {
		return until, invalid("iat")
	}
	if until.IsZero() {
		until = end
	}
	if p.exp != "" {
		if at, ok := p.exp.Float(); !ok || at <= seconds(now)-c.age.leeway.Seconds() {
			return until, invalid("exp")
		}
	}
	if p.nbf != "" {
		if at, ok := p.nbf.Float(); !ok || at > seconds(now)+c.age.leeway.Seconds() {
			return until, invalid("nbf")
		}
	}
	return until, nil
}

// seconds returns a time in seconds since 1970.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
