package middleware

// Offer makes an Auth take the DPoP scheme beside Bearer, and offer it; bearer
// says whether Bearer is offered too.
func Offer(a *Auth, algs string, bearer bool) {
	a.accepted = []string{"DPoP", schemeBearer}
	a.offered = []scheme{{"DPoP", algs}}
	if bearer {
		a.offered = append(a.offered, scheme{name: schemeBearer})
	}
}
