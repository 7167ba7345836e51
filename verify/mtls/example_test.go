package mtls_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"

	"github.com/bearerkit/bearerkit/verify/mtls"
)

func ExampleClientCert() {
	source := mtls.ClientCert(mtls.FromPeers(netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")))
	if err := source.Validate(); err != nil {
		panic(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sum, err := source.Thumbprint(r)
		fmt.Println(mtls.Thumbprint(sum), err)
	}))
	server.Config.ConnContext = mtls.ConnContext // else nobody is trusted
	server.Start()
	defer server.Close()

	// As the proxy does on the same machine.
	r, _ := http.NewRequest("GET", server.URL, nil)
	r.Header.Set("Client-Cert", ":"+rfc8705+":")
	res, err := server.Client().Do(r)
	if err != nil {
		panic(err)
	}
	res.Body.Close()
	// Output: A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0 <nil>
}
