module github.com/bearerkit/bearerkit

go 1.25.0

require (
	github.com/golang-jwt/jwt/v5 v5.3.1 // indirect
	sigs.k8s.io/json v0.0.0-20260909141634-11ed52e25bc5 // indirect
)
